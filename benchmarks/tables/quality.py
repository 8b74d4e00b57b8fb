"""The figures of `benchmarks.quality`: differences between ours and the published loop, and every method by itself."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator
from typing import Any, NamedTuple

from benchmarks.tables.markdown import machine, percent, signed, table

Rows = list[dict[str, Any]]
Result = dict[str, Any]
LARGEST = 11
ONE, BEST_OF_OURS = "ours, 1 candidate", "ours, 8 candidates + refinement"


class Comparison(NamedTuple):
    """Ours minus the published loop, picture by picture, on the pictures that both have."""

    ours: str
    our_steps: int
    theirs: str
    their_steps: int
    gains: list[float]
    time: float

    @property
    def mean(self) -> float:
        return statistics.mean(self.gains)

    @property
    def behind(self) -> str:
        return f"{sum(gain < 0 for gain in self.gains)} of {len(self.gains)}"

    @property
    def largest_share(self) -> str:
        """What the largest gains carry of the sum; it says nothing where the sum is not positive, or of few."""
        if self.mean <= 0 or len(self.gains) < 5 * LARGEST:
            return "–"
        return percent(sum(sorted(self.gains)[-LARGEST:]) / sum(self.gains))

    @property
    def told(self) -> str:
        """Mean, median, worst and on how many behind, in words."""
        median, worst = signed(statistics.median(self.gains)), signed(min(self.gains))
        return f"{signed(self.mean)} on average (median {median}, worst {worst}, behind on {self.behind})"


def compared(rows: Rows, ours: str, our_steps: int, theirs: str, their_steps: int) -> Comparison:
    mine, other = (
        {row["picture"]: row for row in rows if (row["method"], row["steps"]) == wanted}
        for wanted in ((ours, our_steps), (theirs, their_steps))
    )
    pictures = mine.keys() & other.keys()
    gains = [mine[picture]["similarity"] - other[picture]["similarity"] for picture in sorted(pictures)]
    time = statistics.mean(mine[picture]["seconds"] / other[picture]["seconds"] for picture in pictures)
    return Comparison(ours, our_steps, theirs, their_steps, gains, time)


def differences(result: Result, equal_time: bool) -> str:
    """Ours against every form of the published loop, the least flattering difference first."""
    rows = result["rows"]
    ours, theirs = _cells(rows, "ours"), _cells(rows, "published")
    pairs = [
        (*mine, *other)
        for mine, other in itertools.product(ours, theirs)
        if (mine[1] == other[1] if equal_time else _next_steps(theirs, mine[1]) == other[1])
    ]
    lines = [
        [
            f"{found.ours}, {found.our_steps}",
            f"{found.theirs}, {found.their_steps}",
            f"{found.time:.2f}",
            signed(found.mean),
            signed(statistics.median(found.gains)),
            signed(min(found.gains)),
            found.behind,
            found.largest_share,
        ]
        for found in sorted((compared(rows, *pair) for pair in pairs), key=lambda found: found.mean)
    ]
    head = ["ours, time in steps", "against, steps", "× its time", "mean", "median", "worst", "behind on"]
    return table([*head, f"the {LARGEST} largest carry"], lines)


def methods(result: Result, untouched: bool) -> str:
    """Every method and number of steps by itself, on all pictures or on those that no earlier run had."""
    rows = [row for row in result["rows"] if row["untouched"] or not untouched]
    pictures = {row["picture"] for row in rows}
    lines = []
    for method, steps in _cells(rows, ""):
        some = [row for row in rows if (row["method"], row["steps"]) == (method, steps)]
        if {row["picture"] for row in some} == pictures:
            halves = [[row for row in some if row["held_out"] == held_out] for held_out in (False, True)]
            lines.append(
                [
                    f"{method}, {steps}",
                    f"{statistics.mean(row['seconds'] for row in some):.1f}",
                    *(f"{statistics.mean(row['similarity'] for row in half):.3f}" for half in halves),
                    f"{min(row['similarity'] for row in some):.3f}".replace("-", "−"),
                    *(_share(row["concept_rank"] == 1 for row in half) for half in halves),
                    *(_share(row["style_match"] for row in half) for half in halves),
                ]
            )
    head = ["method, steps or their time", "seconds", "similarity, trained", "held out", "lowest"]
    return table([*head, "top-1, trained", "held out", "style, trained", "held out"], lines)


def sides(result: Result) -> str:
    """How many pictures there are, and how many of them no earlier run had."""
    kinds = {(row["picture"], row["held_out"], row["untouched"]) for row in result["rows"]}
    held_out, untouched = sum(held for _, held, _ in kinds), sum(new for *_, new in kinds)
    return (
        f"{len(kinds)} pictures: {len(kinds) - held_out} of concepts that the model was trained on, {held_out} of "
        f"concepts held out. {untouched} of them are *untouched*: earlier versions of this benchmark left them out."
    )


def loops(result: Result) -> str:
    """Whether the engine chose the same ids as the plain loop."""
    leads = [loop["lead"] for loop in result["loops"] if loop["lead"] is not None]
    count = len(result["loops"])
    same = f"Its first steps had the same ids as the plain loop's on {count - len(leads)} of {count} pictures"
    apart = f"; on the others the cosines of the two choices differ by at most {max(leads):.0e}" if leads else ""
    return f"{same}{apart}."


def headline(result: Result) -> str:
    """What README says of it, the least flattering first."""
    rows = result["rows"]
    (short, whole), form = _steps(rows, BEST_OF_OURS)[:2], strongest(rows)
    one, most = (compared(rows, method, short, form, whole) for method in (ONE, BEST_OF_OURS))
    equal_one, equal = (compared(rows, method, whole, form, whole) for method in (ONE, BEST_OF_OURS))
    plain = compared(rows, BEST_OF_OURS, short, "published", whole)
    few = plain.largest_share
    carried = "" if few == "–" else f"; {LARGEST} pictures carry {few} of the sum"
    styles = " and ".join(
        f"{_share(row['style_match'] for row in rows if (row['method'], row['steps']) == cell)} by `{cell[0]}`"
        for cell in ((BEST_OF_OURS, short), (form, whole))
    )
    return "\n".join(
        [
            f"- Without language, by the model searched on, against the strongest form of the published loop, "
            f"`{form}`, after {whole} steps, on {len(one.gains)} pictures: in {percent(one.time)} of its time one "
            f"candidate differs by {one.told}, eight with refinement by {most.told}. In the same time, on "
            f"{len(equal.gains)} pictures: one candidate by {equal_one.told}, "
            f"eight with refinement by {equal.told}.",
            f"- Without language the right style of four is found in {styles}.",
            "- Without language, against the loop as published, which chooses a prompt without reading its text again, "
            f"eight with refinement differ by {plain.told}{carried}.",
        ]
    )


def strongest(rows: Rows) -> str:
    """The form of the published loop with the highest mean similarity, at the steps that all pictures have."""
    steps = _steps(rows, BEST_OF_OURS)[1]

    def mean(method: str) -> float:
        return statistics.mean(row["similarity"] for row in rows if (row["method"], row["steps"]) == (method, steps))

    return max(dict.fromkeys(method for method, _ in _cells(rows, "published")), key=mean)


def summary(result: Result) -> str:
    """All tables."""
    return "\n\n".join(write(result) for write in PARTS.values())


def _cells(rows: Rows, kind: str) -> list[tuple[str, int]]:
    """Methods that begin with `kind` and their steps, the published ones first."""
    found = {(row["method"], row["steps"]) for row in rows if row["method"].startswith(kind)}
    return sorted(found, key=lambda cell: (cell[0].startswith("ours"), cell[1], cell[0]))


def _steps(rows: Rows, method: str) -> list[int]:
    return [steps for name, steps in _cells(rows, method) if name == method]


def _next_steps(cells: list[tuple[str, int]], steps: int) -> int | None:
    return min((more for _, more in cells if more > steps), default=None)


def _share(true: Iterator[bool]) -> str:
    values = list(true)
    return f"{percent(statistics.mean(values))} ({sum(values)} of {len(values)})"


PARTS = {
    "machine": machine,
    "pictures": sides,
    "at equal time": lambda result: differences(result, equal_time=True),
    "in less time": lambda result: differences(result, equal_time=False),
    "methods": lambda result: methods(result, untouched=False),
    "methods on untouched pictures": lambda result: methods(result, untouched=True),
    "loops": loops,
}
