"""The figures of `benchmarks.studies`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.tables.markdown import listed, machine, percent, span, table

Result = dict[str, Any]
Points = list[dict[str, Any]]


def length(result: Result) -> str:
    lines = [
        [point["setting"], _with_error(point), _with_error(point, "second_"), f"{point['seconds']:.0f}"]
        for point in _points(result, "length")
    ]
    return table(["tokens", "similarity", "on the second model", "seconds"], lines)


def transfer(result: Result) -> str:
    """Which length is best on either model, and how that compares with the captions."""
    points, (caption,) = _points(result, "length"), _points(result, "caption")
    first = max(points, key=lambda point: point["similarity"])
    second = max(points, key=lambda point: point["second_similarity"])
    close = [
        point["setting"]
        for point in points
        if point is not second
        and second["second_similarity"] - point["second_similarity"] <= second["second_standard_error"]
    ]
    near = f"{listed(close)} within its standard error" if close else "no other length within its standard error"
    return (
        f"The captions have {_with_error(caption)} on the model that prompts are optimised on and "
        f"{_with_error(caption, 'second_')} on the second one, where no length comes above "
        f"{second['second_similarity']:.3f}. The model optimised on is fitted best by {first['setting']} tokens, the "
        f"second one by {second['setting']}, with {near}; each point is of {caption['prompts']} prompts."
    )


def candidates(result: Result) -> str:
    cells = {"similarity": _with_error, "seconds": lambda point: f"{point['seconds']:.1f}"}
    return _side_by_side(result, "candidates", "candidates (no refinement)", cells)


def readability(result: Result) -> str:
    cells = {"similarity": _with_error, "tokens that are words": lambda point: percent(point["share_of_words"])}
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
    cells = {"similarity to the long prompt": _with_error}
    return _side_by_side(result, "distillation", "ratio of tokens kept", cells)


def learning_rate(result: Result) -> str:
    cells = {"similarity, re-read": _with_error}
    return _side_by_side(result, "learning rate", "learning rate of the published loop", cells)


def headline(result: Result) -> str:
    """What README says of it."""
    (caption,) = _points(result, "caption")
    eight = next(point for point in _points(result, "length") if point["setting"] == "8")
    return (
        f"- On a second model, on which no prompt was optimised, prompts of 8 tokens have a similarity of "
        f"{_with_error(eight, 'second_')}, the true captions, written as both models were trained to read them, "
        f"{_with_error(caption, 'second_')} ({eight['prompts']} pictures)."
    )


def _points(result: Result, study: str) -> Points:
    return [point for point in result["points"] if point["study"] == study]


def _side_by_side(
    result: Result, study: str, head: str, cells: dict[str, Callable[[Any], str]], name: Callable[[str], str] = str
) -> str:
    """The points of a study as columns, each under the `name` of its setting."""
    points = _points(result, study)
    rows = [[measure, *map(cell, points)] for measure, cell in cells.items()]
    return table([head, *(name(point["setting"]) for point in points)], rows)


def _with_error(point: dict[str, Any], model: str = "") -> str:
    return f"{point[model + 'similarity']:.3f} ± {point[model + 'standard_error']:.3f}"


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
