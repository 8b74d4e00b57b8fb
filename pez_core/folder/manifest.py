"""Which job a folder belongs to."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..errors import PezError
from .disk import whole, writing
from .journal import NAME as RESULTS
from .paths import absolute

NAME, LOCK = "manifest.json", "lock"
VERSION = 1


@contextmanager
def opened(folder: Path, job: Mapping[str, Any], root: Path) -> Iterator[Path]:
    """The folder of a job, for this process alone, with the root that the first run gave its pictures' keys.

    `job` is what tells it from others, by name, as JSON has it.

    Raises PezError where another job or process has the folder, and where it cannot be written to.
    """
    path = folder / NAME
    with writing(path):
        folder.mkdir(parents=True, exist_ok=True)
        lock = _locked(folder)
    try:
        if not path.exists() or not _has_results(folder):
            inside = folder.is_relative_to(root)
            fields = {"version": VERSION, "root": os.path.relpath(root, folder) if inside else str(root), "job": job}
            with whole(path) as file:
                file.write(json.dumps(fields, indent=2).encode() + b"\n")
        yield _root(folder, job)
    finally:
        lock.release()


def _locked(folder: Path) -> FileLock:
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise PezError(
            f"folder {str(folder)!r} is in use by another run; wait for it, or name another with --out."
        ) from error
    return lock


def _has_results(folder: Path) -> bool:
    journal = folder / RESULTS
    return journal.exists() and journal.stat().st_size > 0


def _root(folder: Path, job: Mapping[str, Any]) -> Path:
    try:
        fields = json.loads((folder / NAME).read_bytes())
        version, root, found = fields["version"], absolute(folder / fields["root"]), dict(fields["job"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PezError(f"manifest in {str(folder)!r} cannot be read; name another folder with --out.") from error
    if version != VERSION:
        raise PezError(f"folder {str(folder)!r} was written by another version; name another with --out.")
    different = [name for name in {**job, **found} if job.get(name) != found.get(name)]
    if different:
        *names, last = (name.replace("_", " ") for name in different)
        listed = f"{', '.join(names)} and {last}" if names else last
        raise PezError(f"folder {str(folder)!r} holds a job with other {listed}; name another folder with --out.")
    return root
