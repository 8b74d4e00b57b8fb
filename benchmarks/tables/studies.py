"""The figures of `benchmarks.studies`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.tables.markdown import listed, machine, percent, span, table

Result = dict[str, Any]
Points = list[dict[str, Any]]


YARDSTICKS = {
    "similarity that is climbed": ("similarity", "standard_error"),
    "by judges": ("judged", "judged_error"),
    "of what is drawn, by a judge": ("generated", "generated_error"),
}


def length(result: Result) -> str:
    lines = [
        [point["setting"], *(_with_error(point, *keys) for keys in YARDSTICKS.values()), f"{point['seconds']:.0f}"]
        for point in _points(result, "length")
    ]
    return table(["tokens", *YARDSTICKS, "seconds"], lines)


def transfer(result: Result) -> str:
    """Which length is best by each yardstick, and how that compares with the captions."""
    points, (caption,) = _points(result, "length"), _points(result, "caption")
    told = []
    for name, (mean, error) in YARDSTICKS.items():
        best = max(points, key=lambda point: point[mean])
        close = [point["setting"] for point in points if point is not best and best[mean] - point[mean] <= best[error]]
        near = f", with {listed(close)} within its standard error" if close else ""
        told.append(
            f"{name}, the captions have {_with_error(caption, mean, error)} and the best length is {best['setting']}, "
            f"with {best[mean]:.3f}{near}"
        )
    first, *others = told
    return f"{first[0].upper()}{first[1:]}; {'; '.join(others)}. Each point is of {caption['prompts']} prompts."


def candidates(result: Result) -> str:
    cells = {**_yardsticks(), "seconds": lambda point: f"{point['seconds']:.1f}"}
    return _side_by_side(result, "candidates", "candidates (no refinement)", cells)


def readability(result: Result) -> str:
    cells = {**_yardsticks(), "tokens that are words": lambda point: percent(point["share_of_words"])}
    return _side_by_side(result, "readability", "token filter, preference for words", cells, _filter)


def cost_of_words(result: Result) -> str:
    points = _points(result, "readability")
    words = next(point for point in points if point["setting"] == "ascii words")
    best = max(points, key=lambda point: point["similarity"])
    behind = best["similarity"] - words["similarity"]
    errors = span((point["standard_error"] for point in points), "{:.3f}")
    return (
        f"The default, `ascii words`, is {behind:.3f} below the best of these, {_filter(best['setting'])}; "
        f"the standard errors are {errors}."
    )


def distillation(result: Result) -> str:
    return _side_by_side(result, "distillation", "ratio of tokens kept", _yardsticks())


def learning_rate(result: Result) -> str:
    return _side_by_side(result, "learning rate", "learning rate of the published loop, re-read", _yardsticks())


def _points(result: Result, study: str) -> Points:
    return [point for point in result["points"] if point["study"] == study]


def _side_by_side(
    result: Result, study: str, head: str, cells: dict[str, Callable[[Any], str]], name: Callable[[str], str] = str
) -> str:
    """The points of a study as columns, each under the `name` of its setting."""
    points = _points(result, study)
    rows = [[measure, *map(cell, points)] for measure, cell in cells.items()]
    return table([head, *(name(point["setting"]) for point in points)], rows)


def _yardsticks() -> dict[str, Callable[[Any], str]]:
    return {name: partial(_cell, keys=keys) for name, keys in YARDSTICKS.items()}


def _cell(point: dict[str, Any], keys: tuple[str, str]) -> str:
    return _with_error(point, *keys)


def _with_error(point: dict[str, Any], mean: str, error: str) -> str:
    return f"{point[mean]:.3f} ± {point[error]:.3f}"


def _filter(setting: str) -> str:
    name, _, preference = setting.partition(" 0")
    return f"`{name}`" + (f" 0{preference}" if preference else "")


PARTS = {
    "machine": machine,
    "length": length,
    "transfer": transfer,
    "candidates": candidates,
    "readability": readability,
    "cost of words": cost_of_words,
    "distillation": distillation,
    "learning rate": learning_rate,
}
