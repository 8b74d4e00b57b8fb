"""Paths as keys are made of them: absolute, with links left as they are."""

import os
from collections.abc import Iterable
from pathlib import Path

from ..errors import PezError


def absolute(path: str | Path) -> Path:
    """The path from the root, without dots; `Path.resolve` would follow links."""
    return Path(os.path.abspath(path))  # noqa: PTH100


def common_folder(folders: Iterable[Path]) -> Path:
    """The folder that all lie in. Raises PezError where there is none."""
    try:
        return Path(os.path.commonpath(list(folders)))
    except ValueError as error:
        raise PezError("paths lie on different drives; give those of one drive at a time.") from error
