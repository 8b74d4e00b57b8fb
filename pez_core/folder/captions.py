"""Caption files: what stands in them, and where."""

from dataclasses import dataclass
from pathlib import Path, PurePath

from ..errors import PezError
from ..tasks import SEPARATOR
from .disk import place, place_missed, unfinished
from .item import Item

SKIP, APPEND, REPLACE = "skip", "append", "replace"
EXISTING = (SKIP, APPEND, REPLACE)


@dataclass(frozen=True)
class Wording:
    """Text before and after each caption, such as a trigger word, which no search reads."""

    before: str = ""
    after: str = ""

    def around(self, text: str) -> str:
        """The caption with the text in it, on one line."""
        return _one_line(self.before + text + self.after)

    def bare(self, caption: str) -> str:
        """A caption without what stands before and after it already."""
        return caption.removeprefix(_one_line(self.before)).removesuffix(_one_line(self.after)).strip()


@dataclass(frozen=True)
class CaptionFiles:
    """Text files by the stems of pictures, below a folder; `existing` says what becomes of those that are there."""

    folder: Path
    existing: str = SKIP

    def name(self, item: Item) -> str:
        """The caption file of a picture, relative to the folder; absolute for one that lies beside an absolute key."""
        return f"{item.stem}.txt"

    def keeps(self, name: str) -> bool:
        """Whether a file is there that stays as it is."""
        return self.existing == SKIP and (self.folder / name).exists()

    def joined(self, name: str, caption: str) -> str:
        """What the file is to say. Raises PezError where there is a text to append to that cannot be read."""
        path = self.folder / name
        if self.existing != APPEND or not path.exists():
            return caption
        return SEPARATOR.join(part for part in (read_caption(path), caption) if part)

    def prepare(self, name: str, caption: str) -> None:
        """Write the file, ready for `place`. Raises PezError where that is not possible."""
        with unfinished(self.folder / name) as file:
            file.write(_content(caption))

    def place(self, name: str) -> None:
        """Put the prepared file in its place."""
        place(self.folder / name)

    def place_missed(self, name: str, caption: str) -> None:
        """Put a prepared file in its place if the last run was stopped before that; a text changed since then stays."""
        place_missed(self.folder / name, _content(caption))


class MirrorFiles(CaptionFiles):
    """Caption files in a folder of their own, below which absolute paths are laid out too."""

    def name(self, item: Item) -> str:
        path = PurePath(super().name(item))
        return path.relative_to(path.anchor).as_posix()


def existing_caption(item: Item) -> str:
    """The caption that a picture has. Raises PezError for none, an empty one, and one that is not UTF-8."""
    text = read_caption(item.caption) if item.caption is not None else ""
    if not text:
        raise PezError(f"picture {item.key!r} has no caption; write one, or find one with --task invert.")
    return text


def read_caption(source: Path | bytes) -> str:
    """A caption on one line, empty where the file is missing. Raises PezError for one that is not UTF-8."""
    try:
        content = source if isinstance(source, bytes) else source.read_bytes()
        return _one_line(content.decode("utf-8-sig"))
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        name = repr(str(source)) if isinstance(source, Path) else "of the archive"
        raise PezError(f"caption {name} cannot be read; save it as UTF-8 text.") from error


def _content(caption: str) -> bytes:
    return f"{caption}\n".encode()


def _one_line(text: str) -> str:
    return " ".join(text.split())
