"""The figures of `benchmarks.studies`."""

from __future__ import annotations

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
    points = _points(result, "candidates")
    return table(
        ["candidates (no refinement)", *(point["setting"] for point in points)],
        [
            ["similarity", *map(_with_error, points)],
            ["seconds", *(f"{point['seconds']:.1f}" for point in points)],
        ],
    )


def readability(result: Result) -> str:
    points = _points(result, "readability")
    return table(
        ["token filter, preference for words", *(_filter(point["setting"]) for point in points)],
        [
            ["similarity", *map(_with_error, points)],
            ["tokens that are words", *(percent(point["share_of_words"]) for point in points)],
        ],
    )


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
    points = _points(result, "distillation")
    return table(
        ["ratio of tokens kept", *(point["setting"] for point in points)],
        [["similarity to the long prompt", *map(_with_error, points)]],
    )


def learning_rate(result: Result) -> str:
    points = _points(result, "learning rate")
    return table(
        ["learning rate of the published loop", *(point["setting"] for point in points)],
        [["similarity, re-read", *map(_with_error, points)]],
    )


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
