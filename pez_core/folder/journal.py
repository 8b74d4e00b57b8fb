"""What is finished: a line for each picture, added when its result is complete."""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from ..errors import PezError
from .disk import writing

NAME = "results.jsonl"
BLOCK = 1 << 16


@dataclass(frozen=True)
class Entry:
    """A finished picture: the text, its caption, and the caption file with exactly that in it, if there is one."""

    key: str
    text: str
    caption: str
    file: str | None
    tokens: tuple[int, ...]
    similarity: float
    seed: int | None


class Journal:
    """The finished pictures of a job, in the order in which they were finished. A torn last line is cut off.

    Raises PezError where it cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        with writing(self.path):
            self._file = self.path.open("ab+", buffering=0)
            self._size = _last_line_end(self._file.fileno())
            self._file.truncate(self._size)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[Entry]:
        return (entry for _, entry in self.placed())

    def placed(self) -> Iterator[tuple[int, Entry]]:
        """The entries, each with the place where its line begins."""
        place = 0
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                yield place, self._entry(line, f"line {number}")
                place += len(line)

    def at(self, place: int) -> Entry:
        """The entry whose line begins there."""
        with self.path.open("rb") as lines:
            lines.seek(place)
            return self._entry(lines.readline(), f"line at byte {place}")

    def add(self, entry: Entry) -> None:
        """Write an entry and wait until the disk has it. Raises PezError where that fails; then it was not added."""
        line = json_line(asdict(entry))
        with writing(self.path):
            try:
                written = 0
                while written < len(line):
                    written += self._file.write(line[written:])
                os.fsync(self._file.fileno())
            except OSError:
                self._file.truncate(self._size)
                raise
        self._size += len(line)

    def _entry(self, line: bytes, where: str) -> Entry:
        try:
            fields = json.loads(line)
            return Entry(**{**fields, "tokens": tuple(fields["tokens"])})
        except (ValueError, KeyError, TypeError) as error:
            raise PezError(f"{where} of {str(self.path)!r} cannot be read; delete that line.") from error


def json_line(fields: object) -> bytes:
    """A line of JSON in UTF-8, in which bytes of a file's name that are no text are written as escapes."""
    return json.dumps(fields, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def _last_line_end(file: int) -> int:
    end = os.fstat(file).st_size
    while end > 0:
        start = max(0, end - BLOCK)
        os.lseek(file, start, os.SEEK_SET)
        newline = os.read(file, end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
