"""Result files that a broken run goes on with: each is written whole, after everything that was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def load(path: Path | None, head: dict[str, Any]) -> dict[str, Any]:
    """What an earlier run wrote to `path`, head included; without such a file a copy of `head`."""
    return json.loads(path.read_text(encoding="utf-8")) if path and path.exists() else dict(head)


def save(path: Path | None, result: dict[str, Any]) -> None:
    """Put the result in the place of the old file, so that a run broken off here leaves one of them; None saves not."""
    if path:
        written = path.with_name(path.name + ".part")
        written.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        written.replace(path)
