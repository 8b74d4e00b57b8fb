"""The figures of `benchmarks.speed`."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

from benchmarks.tables.markdown import listed, machine, percent, span, table

Result = dict[str, Any]
Rows = list[dict[str, Any]]


class Growth(NamedTuple):
    """How many times as much a step costs as a smaller one, for each time that it has as many tokens in candidates."""

    factor: float
    tower: str
    smaller: tuple[int, int]
    larger: tuple[int, int]


def steps(result: Result) -> str:
    lines = [
        [
            row["tower"],
            str(row["tokens"]),
            str(row["candidates"]),
            _milliseconds(row["seconds_per_step"]),
            _milliseconds(row["reference_seconds_per_step"]),
            f"{row['ratio_per_step']:.1f}",
            f"{row['ratio_per_candidate_step']:.1f}",
            percent(row["share_of_matmul_peak"]),
            f"{row['peak_extra_bytes'] / row['encoder_bytes']:.1%}".replace("%", " %"),
        ]
        for row in _one_target(result)
    ]
    head = ["tower", "tokens", "candidates", "ms a step", "published, ms", "× a step", "× a candidate's step"]
    return table([*head, "of matmul peak", "extra memory"], lines)


def comfyui(result: Result) -> str:
    """The table of ComfyUI's towers, and what is left of one candidate's lead against the shortest published step."""
    rows = _one_target(result)
    shortest: dict[str, float] = {}
    for row in rows:
        taken = row["reference_seconds_per_step"]
        shortest[row["tower"]] = min(taken, shortest.get(row["tower"], taken))
    leads = listed(
        f"{shortest[row['tower']] / row['seconds_per_step']:.1f} times as fast on {row['tower']}"
        for row in rows
        if row["candidates"] == 1
    )
    return f"{steps(result)}\n\n{_published(rows)} Against the shortest, a step of one candidate is {leads}."


def findings(result: Result) -> str:
    """What the table shows, the least flattering first."""
    rows = _one_target(result)
    one, several = ([row for row in rows if (row["candidates"] == 1) == single] for single in (True, False))
    lines = [
        _against_one(several),
        _single(one),
        _growth(rows),
        f"Of the matmul peak, one candidate reaches {_peaks(one)}, several {_peaks(several)}.",
        _targets(result),
        _published(rows),
        _resident(rows),
    ]
    return "\n".join(f"- {line}" for line in lines)


def _against_one(rows: Rows) -> str:
    slower = sum(row["ratio_per_step"] < 1 for row in rows)
    return (
        f"A step of several candidates takes longer than a published step of one in {slower} of {len(rows)} rows: "
        "what gets cheaper is a candidate, not the step."
    )


def _single(rows: Rows) -> str:
    times = span((row["ratio_per_step"] for row in rows), "{:.1f}")
    slow = [row for row in rows if row["ratio_per_step"] < 5]
    towers = [
        f"on {tower} with {listed(str(row['tokens']) for row in slow if row['tower'] == tower)}"
        for tower in _towers(slow)
    ]
    less = f"; less than 5 times {listed(towers)} tokens" if slow else ""
    return f"With one candidate a step is {times} times as fast as a published one{less}."


def growths(rows: Rows) -> list[Growth]:
    """Every size of a tower against every one that is larger in tokens, in candidates or in both."""
    found = []
    for smaller, larger in itertools.permutations(rows, 2):
        sizes = [(row["tokens"], row["candidates"]) for row in (smaller, larger)]
        if smaller["tower"] == larger["tower"] and all(less <= more for less, more in zip(*sizes)):
            work = (sizes[1][0] * sizes[1][1]) / (sizes[0][0] * sizes[0][1])
            factor = larger["seconds_per_step"] / smaller["seconds_per_step"] / work
            found.append(Growth(factor, larger["tower"], *sizes))
    return found


def _growth(rows: Rows) -> str:
    found = growths(rows)
    faster = [growth for growth in found if growth.factor > 1]
    told = (
        f"In {len(faster)} of {len(found)} comparisons of a size with a larger one the time grows faster than tokens × "
    )
    if not faster:
        return told + "candidates."
    worst = max(faster)
    sizes = " to ".join(f"{tokens} × {candidates}" for tokens, candidates in (worst.smaller, worst.larger))
    return told + f"candidates, at most by {percent(worst.factor - 1)} ({worst.tower}, from {sizes})."


def _peaks(rows: Rows) -> str:
    return span(100 * row["share_of_matmul_peak"] for row in rows) + " %"


def _targets(result: Result) -> str:
    """The same size of search with more and more pictures."""
    many = next(row for row in result["rows"] if row["targets"] > 1)
    same = ("tower", "tokens", "candidates")
    rows = [row for row in result["rows"] if all(row[name] == many[name] for name in same)]
    ours, theirs = (
        listed(_milliseconds(row[name]) for row in rows) for name in ("seconds_per_step", "reference_seconds_per_step")
    )
    pictures = listed(str(row["targets"]) for row in rows)
    return f"With {pictures} target pictures a step of {many['tower']} took {ours} ms, and a published one {theirs} ms."


def _published(rows: Rows) -> str:
    """The published step does the same work in every row of a tower, so its spread is the machine's."""
    spreads = listed(
        f"{span(1e3 * row['reference_seconds_per_step'] for row in some)} ms on {tower}"
        for tower, some in ((tower, [row for row in rows if row["tower"] == tower]) for tower in _towers(rows))
    )
    return f"The published step is the same in all rows of a tower, yet took {spreads}: that is the machine's noise."


def _resident(rows: Rows) -> str:
    middle = [row for row in rows if (row["tokens"], row["candidates"]) == (16, 8)]
    grown = [row for row in middle if row["peak_resident_bytes"] is not None]
    if not grown:
        return "How much the process grew was not measured."
    grew, allocated = (
        span(100 * row[name] / row["encoder_bytes"] for row in grown)
        for name in ("peak_resident_bytes", "peak_extra_bytes")
    )
    return (
        f"With 16 tokens and 8 candidates the process grew by {grew} % of the weights, where {allocated} % were "
        "allocated: the C allocator leaves holes."
    )


def _one_target(result: Result) -> Rows:
    return [row for row in result["rows"] if row["targets"] == 1]


def _towers(rows: Rows) -> list[str]:
    return list(dict.fromkeys(row["tower"] for row in rows))


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.0f}"


PARTS = {"machine": machine, "steps": steps, "findings": findings}
