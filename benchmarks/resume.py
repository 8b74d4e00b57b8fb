"""Result files from which an interrupted run continues: each is written whole, after every measurement."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def load(path: Path | None, head: dict[str, Any]) -> dict[str, Any]:
    """What an earlier run wrote to `path`, head included; without such a file a copy of `head`."""
    return json.loads(path.read_text(encoding="utf-8")) if path and path.exists() else dict(head)


def save(path: Path | None, result: dict[str, Any]) -> None:
    """Replace the old file by the result, so that an interruption leaves one of them whole; None saves nothing."""
    if path:
        written = path.with_name(path.name + ".part")
        written.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        written.replace(path)
