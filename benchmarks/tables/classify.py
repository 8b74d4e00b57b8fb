"""The figures of `benchmarks.classify`."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.tables.markdown import table

Result = dict[str, Any]
TASKS = {"sst2": "SST-2", "ag_news": "AG News"}


def methods(result: Result) -> str:
    """Every method with every amount of data: means over seeds, and the spread of the accuracy."""
    cells: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in result["rows"]:
        cell = row["task"], row["examples_per_class"], row["method"], row["fluency"]
        cells.setdefault(cell, []).append(row)
    parts = list(dict.fromkeys(cell[:2] for cell in cells))
    lines = [
        [
            TASKS[task],
            "all" if count is None else str(count),
            f"`{method}`" + (f", λ = {fluency}" if fluency else ""),
            _accuracy([row["accuracy"] for row in rows]),
            *(f"{100 * statistics.mean(row[name] for row in rows):.1f} %" for name in ("calibrated", "median")),
            _perplexity([row["perplexity"] for row in rows if row["perplexity"] is not None]),
            *(f"{statistics.mean(row[name] for row in rows):.0f}" for name in ("steps", "seconds")),
        ]
        for (task, count, method, fluency), rows in sorted(cells.items(), key=lambda cell: parts.index(cell[0][:2]))
    ]
    head = ["task", "examples per class", "method", "raw", "calibrated", "median", "perplexity of the prompt"]
    return table([*head, "steps", "seconds"], lines)


def _accuracy(values: list[float]) -> str:
    spread = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.1f}{spread} %"


def _perplexity(values: list[float]) -> str:
    return f"{statistics.geometric_mean(values):.1e}".replace("e+0", "e").replace("e+", "e") if values else "–"


PARTS = {"methods": methods}
