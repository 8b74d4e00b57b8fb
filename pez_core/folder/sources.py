"""Where pictures come from: folders, files, globs, lists of paths, tars and parquet."""

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import PezError
from .archives import Columns, count_parquet, count_tar, is_archive, is_parquet, parquet_rows, pyarrow, tar_samples
from .item import Failure, Item
from .paths import absolute, common_folder
from .walk import is_picture, readable, walk

LIST = ".txt"


@dataclass(frozen=True)
class Sources:
    """Pictures by paths, as people give them; pictures have keys relative to `root`, and absolute ones outside of it.

    Raises PezError for a path that leads nowhere.
    """

    paths: Sequence[str]
    root: Path
    columns: Columns

    def __iter__(self) -> Iterator[Item | Failure]:
        """The pictures one by one, and what could not be read, in an order that stays."""
        for place in self._places():
            if isinstance(place, Failure):
                yield Failure(self._key(Path(place.key)), place.reason)
            elif is_archive(place):
                yield from self._archived(place)
            else:
                key = self._key(place)
                yield Item(key, key.removesuffix(place.suffix), place, place.with_suffix(".txt"))

    def count(self) -> int:
        """How many pictures there are."""
        return sum(_count(place) for place in self._places())

    def _places(self) -> Iterator[Path | Failure]:
        for path in self.paths:
            yield from _expanded(path)

    def _key(self, path: Path) -> str:
        return (path.relative_to(self.root) if path.is_relative_to(self.root) else path).as_posix()

    def _archived(self, path: Path) -> Iterator[Item | Failure]:
        key = self._key(path)
        try:
            yield from self._rows(path, key) if is_parquet(path) else self._samples(path, key)
        except PezError as error:
            yield Failure(key, str(error))

    def _rows(self, path: Path, key: str) -> Iterator[Item | Failure]:
        for number, (picture, caption) in enumerate(parquet_rows(path, self.columns)):
            row = f"{key}#{number}"
            yield Failure(row, "row has no picture.") if picture is None else Item(row, row, picture, caption)

    def _samples(self, path: Path, key: str) -> Iterator[Item]:
        for name, members in tar_samples(path):
            pictures = [extension for extension in members if is_picture(f"{name}.{extension}")]
            if pictures:
                picture = min(pictures, key=lambda extension: extension.count("."))
                others = {extension: data for extension, data in members.items() if extension not in (picture, "txt")}
                yield Item(f"{key}/{name}", f"{key}/{name}", members[picture], members.get("txt"), others)


def check_paths(paths: Sequence[str]) -> None:
    """Raises PezError for a path that leads nowhere, and where parquet cannot be read for want of pyarrow."""
    for path in paths:
        if is_parquet(Path(path)):
            pyarrow("pyarrow.parquet")
        if not _is_there(Path(path)) and not next(_matches(path), None):
            raise PezError(f"path {path!r} does not exist; give a folder, pictures, a list of paths, tars or parquet.")


def common_root(paths: Sequence[str]) -> Path:
    """The folder that all paths lie in; a list of paths counts as lying in the current one."""
    return common_folder(_folder(absolute(path)) for path in paths)


def has_archives(paths: Sequence[str]) -> bool:
    """Whether some of the pictures lie in archives, beside which no caption file can be."""
    return any(is_archive(Path(path)) for path in paths)


def _folder(path: Path) -> Path:
    if path.is_dir():
        return path
    if _is_list(path):
        return Path.cwd()
    while not path.parent.exists():
        path = path.parent
    return path.parent


def _is_there(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _matches(pattern: str) -> Iterator[str]:
    return glob.iglob(pattern, recursive=True)  # noqa: PTH207, pathlib would find hidden files too


def _expanded(given: str) -> Iterator[Path | Failure]:
    path = absolute(given)
    if path.is_dir():
        yield from walk(path)
    elif _is_list(path):
        yield from _listed(path)
    elif _is_there(path):
        if not _is_caption(path):
            yield path
    else:
        for match in map(absolute, sorted(_matches(given))):
            if match.is_dir() and "**" not in given:
                yield from walk(match)
            elif is_picture(match.name) or is_archive(match):
                yield match


def _listed(path: Path) -> Iterator[Path | Failure]:
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as lines:
            for line in lines:
                if line.strip():
                    name = absolute(line.rstrip("\n"))
                    yield from walk(name) if name.is_dir() else [name]
    except OSError as error:
        yield Failure(str(path), f"list {str(path)!r} cannot be read ({error.strerror}).")


def _is_list(path: Path) -> bool:
    return path.suffix.lower() == LIST and path.is_file() and not _is_caption(path)


def _is_caption(path: Path) -> bool:
    """Whether a text stands beside its picture, as it does where a shell wrote out `folder/*`."""
    return path.suffix.lower() == LIST and any(path.with_suffix(suffix).exists() for suffix in readable())


def _count(place: Path | Failure) -> int:
    if isinstance(place, Failure) or not is_archive(place):
        return 1
    try:
        return count_parquet(place) if is_parquet(place) else count_tar(place)
    except PezError:
        return 1
