"""The figures of `benchmarks.worth`: every method by yardsticks that no search has seen."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable
from typing import Any

from benchmarks.tables.markdown import machine, percent, signed, table

Row = dict[str, Any]
Rows = list[Row]
Result = dict[str, Any]
CAPTIONS = "captions"
SHOWN, SHOWN_SEED = 10, 0
DEVIATIONS = 1.96  # that hold 95 % of a normal distribution
SIDES = {False: "training concepts", True: "held-out concepts"}


def judged(row: Row) -> float:
    """The mean similarity by all judges."""
    return statistics.mean(row["judges"].values())


YARDSTICKS: dict[str, Callable[[Row], float]] = {
    "generated": lambda row: row["generated"],
    "judges": judged,
    "meaning": lambda row: row["meaning"],
    "inner": lambda row: row["inner"],
}


def similarities(result: Result) -> str:
    """Every method by every similarity: mean ± standard error, median, worst; the best by what is generated first."""
    lines = []
    for held_out, side in SIDES.items():
        rows = [row for row in result["rows"] if row["held_out"] == held_out]
        for method in _ranked(rows):
            some = [row for row in rows if row["method"] == method]
            lines.append([side, method, *(_spread([of(row) for row in some]) for of in YARDSTICKS.values())])
    return table(["pictures", "method", *(f"{name}: mean ± s.e., median, worst" for name in YARDSTICKS)], lines)


def transfer(result: Result) -> str:
    """Every method's prompts to the model that they were searched on, and to each judge: mean ± standard error."""
    lines = []
    for held_out, side in SIDES.items():
        rows = _side(result, held_out)
        for method in _ranked(rows):
            some = [row for row in rows if row["method"] == method]
            each = [
                [row["inner"] for row in some],
                *([row["judges"][name] for row in some] for name in result["judges"]),
            ]
            lines.append([side, method, *(f"{statistics.mean(one):.3f} ± {_standard_error(one):.3f}" for one in each)])
    return table(["pictures", "method", "inner", *result["judges"]], lines).replace("-0.", "−0.")


def meanings(result: Result) -> str:
    """What every method's texts and pictures say, and what they cost."""
    lines = []
    for held_out, side in SIDES.items():
        rows = [row for row in result["rows"] if row["held_out"] == held_out]
        for method in _ranked(rows):
            some = [row for row in rows if row["method"] == method]
            lines.append(
                [
                    side,
                    method,
                    percent(_mean(row["rank"] == 1 for row in some)),
                    percent(_mean(row["rank"] <= 5 for row in some)),
                    f"{statistics.median(row['rank'] for row in some):.0f}",
                    percent(_mean(row["style_match"] for row in some)),
                    percent(_mean(row["background_match"] for row in some)),
                    percent(_mean(row["generated_first"] for row in some)),
                    f"{statistics.median(row['perplexity'] for row in some):,.0f}",
                    f"{_mean(row['tokens'] for row in some):.1f}",
                    f"{_mean(row['seconds'] for row in some):.1f}",
                ]
            )
    head = ["pictures", "method", "named first", "in five", "median place", "style", "background", "drawn first"]
    return table([*head, "perplexity, median", "tokens", "seconds"], lines)


def differences(result: Result) -> str:
    """Every method less the captions, picture by picture, with the 95 % confidence interval; the worst first."""
    lines = []
    for held_out, side in SIDES.items():
        rows = [row for row in result["rows"] if row["held_out"] == held_out]
        for method in reversed([name for name in _ranked(rows) if name != CAPTIONS]):
            cells = [_interval(gains(rows, method, CAPTIONS, of)) for of in YARDSTICKS.values()]
            lines.append([side, method, *cells])
    return table(["pictures", "method, less captions", *YARDSTICKS], lines)


def side_by_side(result: Result) -> str:
    """The prompts of every method for pictures that are drawn by lot."""
    pictures = sorted({row["picture"] for row in result["rows"]})
    drawn = random.Random(SHOWN_SEED).sample(pictures, min(SHOWN, len(pictures)))
    lines = []
    for picture in drawn:
        prompts = {row["method"]: row["prompt"] for row in result["rows"] if row["picture"] == picture}
        lines += [[picture, method, prompts[method]] for method in sorted(prompts)]
    return table(["picture", "method", "prompt"], lines)


def headline(result: Result) -> str:
    """What README says, the least flattering first."""
    lines = []
    for name in ("generated", "judges", "inner"):
        told = [
            f"{_interval(gains(_side(result, held_out), 'ours', other, YARDSTICKS[name]))} on {side}"
            for other in (CAPTIONS, "published")
            for held_out, side in SIDES.items()
        ]
        lines.append(
            f"- {_MEANT[name]}: ours less true captions {told[0]} and {told[1]}; ours less the published loop "
            f"{told[2]} and {told[3]}."
        )
    known = _side(result, False)
    of = {name: [row for row in known if row["method"] == name] for name in ("ours", CAPTIONS, "published")}
    first = [percent(_mean(row["rank"] == 1 for row in rows)) for rows in of.values()]
    perplexity = [f"{statistics.median(row['perplexity'] for row in some):,.0f}" for some in of.values()]
    lines.append(
        f"- On training concepts a judge names the right one first by {first[0]} of our prompts, {first[1]} of the "
        f"true captions and {first[2]} of the published loop's prompts. Their median perplexity, by a language model, "
        f"is {perplexity[0]}, {perplexity[1]} and {perplexity[2]}."
    )
    return "\n".join(lines)


_MEANT = {
    "generated": "Similarity of what a generator draws from the prompt, by a judge",
    "judges": "Similarity by judges that no search has seen",
    "inner": "Similarity by the model that was searched on",
}


def gains(rows: Rows, method: str, other: str, of: Callable[[Row], float]) -> list[float]:
    """A method less another, picture by picture, on the pictures that both have."""
    mine, theirs = ({row["picture"]: of(row) for row in rows if row["method"] == name} for name in (method, other))
    return [mine[picture] - theirs[picture] for picture in sorted(mine.keys() & theirs.keys())]


def sides(result: Result) -> str:
    """How many pictures, judges and seconds."""
    pictures = {(row["picture"], row["held_out"]) for row in result["rows"]}
    held_out = sum(held for _, held in pictures)
    return (
        f"{len(pictures)} pictures, {held_out} of them of concepts that the model was not trained on; every search had "
        f"{result['budget']:.0f} seconds. Judges: {', '.join(result['judges'])}; what is generated, named and matched "
        f"is told by {result['judges'][-1]}. Perplexity by {result['language_model']}."
    )


def summary(result: Result) -> str:
    return "\n\n".join(part(result) for part in PARTS.values())


def _side(result: Result, held_out: bool) -> Rows:
    return [row for row in result["rows"] if row["held_out"] == held_out]


def _ranked(rows: Rows) -> list[str]:
    """Methods, the best by what is generated first."""
    by_method: dict[str, list[float]] = {}
    for row in rows:
        by_method.setdefault(row["method"], []).append(row["generated"])
    return sorted(by_method, key=lambda method: -statistics.mean(by_method[method]))


def _mean(values) -> float:
    return statistics.mean([float(value) for value in values])


def _standard_error(values: list[float]) -> float:
    return statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")


def _spread(values: list[float]) -> str:
    mean, median, lowest = statistics.mean(values), statistics.median(values), min(values)
    return f"{mean:.3f} ± {_standard_error(values):.3f}, {median:.3f}, {lowest:.3f}".replace("-", "−")


def _interval(values: list[float]) -> str:
    return f"{signed(statistics.mean(values))} ± {DEVIATIONS * _standard_error(values):.3f}"


PARTS: dict[str, Callable[[Result], str]] = {
    "machine": machine,
    "sides": sides,
    "differences": differences,
    "similarities": similarities,
    "transfer": transfer,
    "meanings": meanings,
    "side by side": side_by_side,
}
