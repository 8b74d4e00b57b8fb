"""The figures of `benchmarks.applications`: what was drawn in each application, by each way of saying it."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from benchmarks.tables.markdown import machine, percent, table

Result = dict[str, Any]
ASKED = {"style": "the new subject", "concat": "both concepts", "distill": "the concept"}


def drawn(result: Result) -> str:
    """Means over trials, with the worst trial's similarity."""
    lines = []
    for application, asked in ASKED.items():
        rows = [row for row in result["rows"] if row["application"] == application]
        for way in dict.fromkeys(row["way"] for row in rows):
            some = [row for row in rows if row["way"] == way]
            lines.append(
                [
                    application,
                    way,
                    f"{asked}: {percent(statistics.mean(row['named'] for row in some))}",
                    _mean([row["style_match"] for row in some], percent),
                    _mean([row["similarity"] for row in some], "{:.3f}".format),
                    _mean([min(row["similarity"] for row in some)], "{:.3f}".format) if some[0]["similarity"] else "–",
                    str(len(some)),
                ]
            )
    head = ["application", "way", "in the first five", "style", "similarity, mean", "worst", "trials"]
    return table(head, lines)


def headline(result: Result) -> str:
    """What README says: what is drawn from ours, from what a person would say, and without language."""

    def mean(application: str, way: str, of: str) -> float:
        some = [row for row in result["rows"] if (row["application"], row["way"]) == (application, way)]
        return statistics.mean(row[of] for row in some)

    style = {
        way: f"{percent(mean('style', way, 'named'))} and {percent(mean('style', way, 'style_match'))}"
        for way in ("learned", "named", "descent")
    }
    concat = {way: f"{mean('concat', way, 'similarity'):.3f}" for way in ("learned", "captions", "descent")}
    distill = {way: f"{mean('distill', f'0.3, {way}', 'similarity'):.3f}" for way in ("learned", "descent")}
    return (
        f"- A new subject drawn in a style is recognised, and its style, for {style['learned']} by our words for it, "
        f"{style['named']} by its name and {style['descent']} without language. What is drawn from the prompts of two "
        f"pictures has a similarity of {concat['learned']} to both by ours, {concat['captions']} by true captions and "
        f"{concat['descent']} without language. What is drawn from 30 % of a long prompt has {distill['learned']} to "
        f"what the whole draws, and {distill['descent']} without language."
    )


def _mean(values: list[float | None], told: Callable[[float], str]) -> str:
    known = [value for value in values if value is not None]
    return told(statistics.mean(known)).replace("-", "−") if known else "–"


def summary(result: Result) -> str:
    return "\n\n".join(part(result) for part in PARTS.values())


PARTS: dict[str, Callable[[Result], str]] = {"machine": machine, "drawn": drawn}
