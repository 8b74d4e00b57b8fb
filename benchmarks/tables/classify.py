"""The figures of `benchmarks.classify`."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.tables import markdown
from benchmarks.tables.markdown import table

Result = dict[str, Any]
Cells = dict[tuple[Any, ...], list[dict[str, Any]]]
TASKS = {"sst2": "SST-2", "ag_news": "AG News"}
PAIRS = (
    ("pez", "template", "accuracy", "raw"),
    ("pez", "template", "calibrated", "calibrated"),
    ("pez", "template", "median", "by the median"),
    ("pez+refine", "pez", "accuracy", "raw"),
    ("pez+refine", "autoprompt", "accuracy", "raw"),
    ("pez+refine", "fluentprompt", "accuracy", "raw"),
    ("soft", "pez", "accuracy", "raw"),
)


def machine(result: Result) -> str:
    """What the rows were measured on, and how long each method had."""
    return f"{markdown.machine(result['head'])} Every method gets {result['head']['seconds']:.0f} seconds."


def methods(result: Result) -> str:
    """Every method with every amount of data: means over seeds, and the spread of the accuracy."""
    cells = _cells(result)
    parts = list(dict.fromkeys(cell[:2] for cell in cells))
    lines = [
        [
            *_part(task, count),
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


def differences(result: Result) -> str:
    """By how much one method is above another in each amount of data, in points of accuracy.

    Against the template, `pez` is counted raw, and the template as the heading says. There is one of it for each task.
    """
    cells = _cells(result)
    head = [f"`{one}` − `{other}`" + (f" {name}" if other == "template" else "") for one, other, _, name in PAIRS]
    lines = []
    for task, count in dict.fromkeys(cell[:2] for cell in cells):
        gains = []
        for one, other, measure, _ in PAIRS:
            bare = other == "template"
            baseline = _mean(cells[task, None if bare else count, other, 0.0], measure)
            gains.append(_points(_mean(cells[task, count, one, 0.0], "accuracy") - baseline))
        lines.append([*_part(task, count), *gains])
    return table(["task", "examples per class", *head], lines)


def fluency(result: Result) -> str:
    """What weighing the prompt's surprise does to `pez` with all the data."""
    cells = _cells(result)
    lines = []
    for (task, count, method, weight), rows in cells.items():
        if weight:
            plain = cells[task, count, method, 0.0]
            lines.append(
                [
                    TASKS[task],
                    str(weight),
                    _points(_mean(rows, "accuracy") - _mean(plain, "accuracy")),
                    f"{_expected(plain) / _expected(rows):.1f}",
                    f"{_seconds_per_step(rows) / _seconds_per_step(plain):.2f}",
                ]
            )
    head = ["task", "λ", "accuracy, in points", "perplexity, times lower", "seconds per step, times as many"]
    return table(head, lines)


def speed(result: Result) -> str:
    """A step against a straightforward one, with texts read before, and with texts read anew."""
    lines = []
    for task, found in result["speed"].items():
        theirs = found["straightforward"]
        own = [found[name] for name in ("ours", "ours, texts unread")]
        lines.append([TASKS[task], f"{theirs:.1f}", *(f"{seconds:.2f} ({theirs / seconds:.0f} ×)" for seconds in own)])
    return table(["task", "straightforward", "ours", "ours, texts read anew"], lines)


def _cells(result: Result) -> Cells:
    """The rows of each task, amount of data, method and weight of fluency."""
    cells: Cells = {}
    for row in result["rows"]:
        cell = row["task"], row["examples_per_class"], row["method"], row["fluency"]
        cells.setdefault(cell, []).append(row)
    return cells


def _part(task: str, count: int | None) -> list[str]:
    return [TASKS[task], "all" if count is None else str(count)]


def _mean(rows: list[dict[str, Any]], measure: str) -> float:
    return statistics.mean(row[measure] for row in rows)


def _points(share: float) -> str:
    return f"{round(100 * share, 1) + 0:+.1f}".replace("-", "−")


def _expected(rows: list[dict[str, Any]]) -> float:
    return statistics.geometric_mean(row["perplexity"] for row in rows)


def _seconds_per_step(rows: list[dict[str, Any]]) -> float:
    return _mean(rows, "seconds") / _mean(rows, "steps")


def _accuracy(values: list[float]) -> str:
    spread = f" ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.1f}{spread} %"


def _perplexity(values: list[float]) -> str:
    return f"{statistics.geometric_mean(values):.1e}".replace("e+0", "e").replace("e+", "e") if values else "–"


PARTS = {
    "machine": machine,
    "methods": methods,
    "differences": differences,
    "fluency": fluency,
    "speed": speed,
}
