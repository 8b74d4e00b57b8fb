"""A job: every picture is searched once, and each result is kept before the next one."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..errors import PezError
from .captions import CaptionFiles, Wording
from .disk import writing
from .item import Engine, Failure, Item, Outcome
from .journal import Entry, Journal, json_line

FAILURES = "failures.jsonl"


@dataclass(frozen=True)
class Tally:
    """How many pictures were finished in this run, were there before, and failed; and whether more were to come."""

    done: int = 0
    before: int = 0
    failed: int = 0
    stopped: bool = False


OnPicture = Callable[[Tally], bool | None]


class Job:
    """Takes pictures to their results in the journal and, where there are `files`, in caption files.

    `on_picture` is called after each picture; once it returns True no more are begun. What fails is listed in the
    folder's failures.jsonl, and is tried again by the next run.
    """

    def __init__(
        self,
        folder: Path,
        journal: Journal,
        files: CaptionFiles | None = None,
        wording: Wording = Wording(),
        on_picture: OnPicture = lambda tally: None,
    ) -> None:
        self._failures = folder / FAILURES
        self._journal, self._files, self._wording, self._on_picture = journal, files, wording, on_picture
        self._tally, self._stopped = Tally(), False
        self._met: set[int] = set()
        self._written: set[int] = set()

    def run(self, met: Iterable[Item | Failure], engine: Engine) -> Tally:
        """Search what is not finished. Raises PezError where a result or the journal cannot be written or read."""
        with writing(self._failures):
            self._failures.write_bytes(b"")
        self._take_up()
        for outcome in engine(self._unfinished(met)):
            self._keep(outcome)
        return self._tally

    def _take_up(self) -> None:
        """Learn what is finished, and place the last caption file if the last run could not."""
        last = None
        for last in self._journal:
            self._met.add(hash(last.key))
            if last.file is not None:
                self._written.add(hash(last.file))
        if self._files is not None and last is not None and last.file is not None:
            self._files.place_missed(last.file, last.caption)

    def _unfinished(self, met: Iterable[Item | Failure]) -> Iterator[Item]:
        for item in met:
            if self._stopped:
                self._tally = replace(self._tally, stopped=True)
                return
            if isinstance(item, Failure):
                self._fail(item)
            elif hash(item.key) in self._met:
                self._tell(before=1)
            else:
                self._met.add(hash(item.key))
                yield from self._without_file(item)

    def _without_file(self, item: Item) -> Iterator[Item]:
        """The picture, unless its caption file is another's or stays as it is."""
        name = self._files.name(item) if self._files is not None else None
        if hash(name) in self._written:
            reason = f"shares the text file {name!r} with another picture; rename one of the two."
            self._fail(Failure(item.key, reason))
        elif self._files is not None and name is not None and self._files.keeps(name):
            self._tell(before=1)
        else:
            if name is not None:
                self._written.add(hash(name))
            yield item

    def _keep(self, outcome: Outcome) -> None:
        try:
            entry = self._entry(outcome)
        except PezError as error:
            self._fail(Failure(outcome.item.key, str(error)))
        else:
            self._write(entry)
            self._tell(done=1)

    def _entry(self, outcome: Outcome) -> Entry:
        """What was found. Raises PezError for a search that failed, and an old caption that cannot be appended to."""
        item, found = outcome.item, outcome.found
        if isinstance(found, PezError):
            raise found
        caption, name = self._wording.around(found.text), None
        if self._files is not None:
            name = self._files.name(item)
            caption = self._files.joined(name, caption)
        return Entry(item.key, found.text, caption, name, found.tokens, found.similarity, found.seed)

    def _write(self, entry: Entry) -> None:
        """Prepare the caption file before the journal has the entry, and place it after: neither can be lost."""
        if self._files is not None and entry.file is not None:
            self._files.prepare(entry.file, entry.caption)
            self._journal.add(entry)
            self._files.place(entry.file)
        else:
            self._journal.add(entry)

    def _fail(self, failure: Failure) -> None:
        with writing(self._failures), self._failures.open("ab") as lines:
            lines.write(json_line(asdict(failure)))
        self._tell(failed=1)

    def _tell(self, done: int = 0, before: int = 0, failed: int = 0) -> None:
        tally = self._tally
        self._tally = replace(tally, done=tally.done + done, before=tally.before + before, failed=tally.failed + failed)
        self._stopped = bool(self._on_picture(self._tally)) or self._stopped
