"""Files that are written whole or not at all, and one sentence where they cannot be."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..errors import PezError

UNFINISHED = ".pez.new"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raises PezError where `path` cannot be written."""
    try:
        yield
    except OSError as error:
        raise PezError(_sentence(path, error)) from error


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """A file that stands at `path` once it is complete and on the disk.

    Raises PezError where it cannot be written; what was at `path` before is there still.
    """
    with unfinished(path) as file:
        yield file
    place(path)


@contextmanager
def unfinished(path: Path) -> Iterator[BinaryIO]:
    """A file that is on the disk afterwards, ready for `place`. Raises PezError where it cannot be written."""
    name = path.parent / UNFINISHED
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with name.open("wb") as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
            except BaseException:
                name.unlink(missing_ok=True)
                raise


def place(path: Path) -> None:
    """Put the unfinished file of the folder in its place. Raises PezError where that is not possible."""
    with writing(path):
        (path.parent / UNFINISHED).replace(path)


def place_missed(path: Path, content: bytes) -> None:
    """Put the unfinished file in its place if it has this content, and remove it otherwise."""
    name = path.parent / UNFINISHED
    with writing(path):
        if name.exists():
            name.replace(path) if name.read_bytes() == content else name.unlink()


def _sentence(path: Path, error: OSError) -> str:
    if error.errno in FULL:
        return f"disk is full at {str(path)!r}; make room, and the same command goes on from what is finished."
    if error.errno in FORBIDDEN:
        return f"folder {str(path.parent)!r} cannot be written to; name another one with --out."
    return f"file {str(path)!r} cannot be written ({error.strerror}); name another folder with --out."
