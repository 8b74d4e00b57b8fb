"""Every figure that the documents quote, computed from benchmarks/results.

    python -m benchmarks.tables --check     say which blocks are not what the results give
    python -m benchmarks.tables --write     rewrite them

A document holds a block between `<!-- figures: NAME -->` and `<!-- end of figures -->`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.tables import applications, classify, quality, speed, studies, throughput, worth

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
DOCUMENTS = (ROOT / "README.md", ROOT / "docs" / "results.md")
BLOCK = re.compile(r"(<!-- figures: ([^>]*?) -->)\n.*?(<!-- end of figures -->)", re.DOTALL)


def _of(name: str, write: Callable[[dict[str, Any]], str]) -> Callable[[], str]:
    return lambda: write(result(name))


def _readme() -> str:
    parts = {"worth": worth, "applications": applications, "quality": quality}
    return "\n".join(part.headline(result(name)) for name, part in parts.items())


MODULES = {
    "worth": worth, "applications": applications, "quality": quality, "studies": studies, "speed": speed,
    "throughput": throughput, "classify": classify,
}  # fmt: skip
BLOCKS: dict[str, Callable[[], str]] = {
    "README": _readme,
    **{f"{name}, {part}": _of(name, write) for name, module in MODULES.items() for part, write in module.PARTS.items()},
    "speed, comfyui": _of("speed-comfyui", speed.comfyui),
}


def result(name: str) -> dict[str, Any]:
    """What a benchmark wrote."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def rewritten(text: str, only: str = "") -> str:
    """A document with its blocks, or those whose name begins with `only`, as the results give them."""

    def block(match: re.Match[str]) -> str:
        before, name, after = match.groups()
        return f"{before}\n{BLOCKS[name]()}\n{after}" if name.startswith(only) else match.group()

    return BLOCK.sub(block, text)
