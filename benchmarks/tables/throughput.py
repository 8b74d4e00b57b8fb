"""The figures of `benchmarks.throughput`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.tables.markdown import machine, table

Result = dict[str, Any]
MEGABYTE = 1 << 20


def rates(result: Result) -> str:
    """Pictures an hour side by side and one at a time, the least gain first; equal texts, and memory."""
    rows = sorted((row for row in result["rows"] if row["one_at_a_time_per_hour"]), key=_gain)
    lines = [
        [
            row["engine"], row["model"], str(row["pictures"]), f"{_gain(row):.2f}",
            f"{row['pictures_per_hour']:,.0f}", f"{row['one_at_a_time_per_hour']:,.0f}",
            f"{row['mean_similarity']:.3f}", f"{row['one_at_a_time_similarity']:.3f}",
            f"{row['same_texts']} of {row['pictures']}",
            f"{row['peak_bytes'] / MEGABYTE:,.0f}", f"{row['one_at_a_time_peak_bytes'] / MEGABYTE:,.0f}",
        ]
        for row in rows
    ]  # fmt: skip
    head = ["search", "model", "pictures", "times as many", "an hour", "one at a time", "similarity", "one at a time"]
    return table([*head, "same texts", "MB at most", "one at a time"], lines)


def flat(result: Result) -> str:
    """What a picture costs among few and among many, in a search that is nearly none."""
    rows = [row for row in result["rows"] if row["one_at_a_time_per_hour"] is None]
    lines = [
        [f"{row['pictures']:,}", f"{3.6e6 / row['pictures_per_hour']:.1f}", f"{row['peak_bytes'] / MEGABYTE:,.0f}"]
        for row in rows
    ]
    return table(["pictures", "milliseconds a picture", "MB at most"], lines)


def _gain(row: dict[str, Any]) -> float:
    return row["pictures_per_hour"] / row["one_at_a_time_per_hour"]


PARTS: dict[str, Callable[[Result], str]] = {"machine": machine, "rates": rates, "flat": flat}
