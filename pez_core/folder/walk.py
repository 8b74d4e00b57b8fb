"""Pictures in folders."""

import os
from collections import deque
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePath

from PIL import Image

from .item import Failure

STUBS = {"BUFR", "GRIB", "HDF5", "MPEG"}


@cache
def readable() -> frozenset[str]:
    """The suffixes of files that Pillow reads, less those that it only recognises."""
    formats = Image.registered_extensions().items()
    return frozenset(suffix for suffix, name in formats if name in Image.OPEN and name not in STUBS)


def is_picture(name: str) -> bool:
    return PurePath(name).suffix.lower() in readable()


def walk(folder: Path) -> Iterator[Path | Failure]:
    """The pictures in a folder and all folders below it, by name; hidden files and folders are left out.

    Folders that links lead to come last, and each folder once, so links in circles come to an end.
    """
    seen: set[tuple[int, int]] = set()
    links = deque([folder])
    while links:
        stack = [links.popleft()]
        while stack:
            here = stack.pop()
            try:
                status = here.stat()
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
                files, folders, linked = _listed(here)
            except OSError as error:
                yield Failure(str(here), f"folder {str(here)!r} cannot be read ({error.strerror}).")
                continue
            yield from (here / name for name in files)
            stack.extend(here / name for name in reversed(folders))
            links.extend(here / name for name in linked)


def _listed(folder: Path) -> tuple[list[str], list[str], list[str]]:
    """The names of pictures, folders, and links to folders."""
    files, folders, links = [], [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            elif entry.is_symlink() and (folder / entry.name).is_dir():
                links.append(entry.name)
            elif is_picture(entry.name):
                files.append(entry.name)
    return sorted(files), sorted(folders), sorted(links)
