"""Pictures in WebDataset tars and in parquet."""

import importlib
import posixpath
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, cast

from ..errors import PezError
from .walk import is_picture

TARS = (".tar", ".tar.gz", ".tgz")
PARQUET = ".parquet"
IMAGE_COLUMNS = ("image", "img", "picture")
CAPTION_COLUMNS = ("text", "caption", "prompt")
ROWS_TOGETHER = 16
BROKEN = (OSError, EOFError, tarfile.TarError, zlib.error)

Members = Mapping[str, bytes]


@dataclass(frozen=True)
class Columns:
    """Columns of parquet files; None for those with a usual name."""

    image: str | None = None
    caption: str | None = None


def is_archive(path: Path) -> bool:
    return path.name.lower().endswith((*TARS, PARQUET))


def is_parquet(path: Path) -> bool:
    return path.suffix.lower() == PARQUET


def pyarrow(module: str) -> Any:
    """A module of pyarrow. Raises PezError where it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise PezError("parquet needs pyarrow, which is missing; run pip install pyarrow.") from error


def tar_samples(path: Path) -> Iterator[tuple[str, Members]]:
    """The members of a tar that share a key, by extension, with that key.

    Raises PezError for a file that is not a whole tar; the samples before that with the fault are given.
    """
    try:
        with tarfile.open(path) as tar:
            for key, members in groupby(_files(tar), _key):
                yield key, {_split(member.name)[1]: _content(tar, member) for member in members}
    except BROKEN as error:
        raise PezError(f"tar {str(path)!r} cannot be read to its end; fetch or pack it again.") from error


def count_tar(path: Path) -> int:
    """How many samples of a tar have a picture; of a broken tar those before the fault."""
    count = 0
    try:
        with tarfile.open(path) as tar:
            for _, members in groupby(_files(tar), _key):
                count += max(is_picture(member.name) for member in members)
    except BROKEN:
        return count
    return count


def _files(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (member := tar.next()) is not None:
        tar.members.clear()  # type: ignore[attr-defined]  # which would grow with the tar
        if member.isreg() and not posixpath.basename(member.name).startswith("."):
            yield member
    if not _ends(tar):
        raise tarfile.ReadError


def _ends(tar: tarfile.TarFile) -> bool:
    """Whether the tar ends as it should, with an empty block; tarfile takes any fault for the end."""
    file = cast(BinaryIO, tar.fileobj)
    file.seek(tar.offset)
    return file.read(tarfile.BLOCKSIZE) == tarfile.NUL * tarfile.BLOCKSIZE


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return file.read() if file else b""


def _key(member: tarfile.TarInfo) -> str:
    return _split(member.name)[0]


def _split(name: str) -> tuple[str, str]:
    """Key and extension, parted at the first dot of the file's name; the key leads nowhere else than down."""
    folder, file = posixpath.split(posixpath.normpath(f"/{name}")[1:])
    stem, _, extension = file.partition(".")
    return posixpath.join(folder, stem), extension.lower()


def parquet_rows(path: Path, columns: Columns) -> Iterator[tuple[Path | bytes | None, bytes | None]]:
    """Picture and caption of each row; a picture may be a file beside the parquet, and None where the row has none.

    Raises PezError for a file that is not whole, and where no column has pictures or the named ones are missing.
    """
    with _parquet(path) as file:
        names = file.schema_arrow.names
        image = _column(path, names, columns.image, "image", [*IMAGE_COLUMNS, *_binary(file.schema_arrow)])
        if image is None:
            raise PezError(
                f"parquet {str(path)!r} has no column of pictures among {', '.join(names)}; "
                "name one with --image-column."
            )
        caption = _column(path, names, columns.caption, "text", CAPTION_COLUMNS)
        wanted = [name for name in (image, caption) if name is not None]
        for batch in file.iter_batches(ROWS_TOGETHER, columns=wanted):
            for row in batch.to_pylist():
                text = row.get(caption)
                yield _picture(row[image], path.parent), text.encode() if isinstance(text, str) else None


def count_parquet(path: Path) -> int:
    """How many rows there are. Raises PezError for a file that is not whole."""
    with _parquet(path) as file:
        return int(file.metadata.num_rows)


@contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    parquet, lib = pyarrow("pyarrow.parquet"), pyarrow("pyarrow.lib")
    try:
        with parquet.ParquetFile(path) as file:
            yield file
    except (OSError, lib.ArrowException) as error:
        raise PezError(f"parquet {str(path)!r} cannot be read; fetch or write it again.") from error


def _column(path: Path, names: Sequence[str], given: str | None, kind: str, usual: Sequence[str]) -> str | None:
    if given is not None and given not in names:
        raise PezError(
            f"column {given!r} is not in {str(path)!r}, which has {', '.join(names)}; "
            f"name another with --{kind}-column."
        )
    return given or next((name for name in usual if name in names), None)


def _binary(schema: Any) -> list[str]:
    """The columns that may hold pictures: bytes, or structs with bytes."""
    types = pyarrow("pyarrow.types")

    def holds(kind: Any) -> bool:
        if types.is_struct(kind):
            return any(part.name == "bytes" for part in kind)
        return bool(types.is_binary(kind) or types.is_large_binary(kind))

    return [field.name for field in schema if holds(field.type)]


def _picture(value: Any, folder: Path) -> Path | bytes | None:
    if isinstance(value, dict):
        if value.get("bytes") is None:
            return folder / value["path"] if value.get("path") else None
        value = value["bytes"]
    return value if isinstance(value, bytes) else None
