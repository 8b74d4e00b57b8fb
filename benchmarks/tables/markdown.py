"""What all tables are written with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    first, *others = ("| " + " | ".join(line) + " |" for line in [head, *rows])
    return "\n".join([first, "|---" * len(head) + "|", *others])


def machine(head: dict[str, Any]) -> str:
    """What a result was measured on, and when."""
    threads = {None: "", 1: ", one thread"}.get(head.get("threads"), f", {head.get('threads')} threads")
    return f"Measured on {head['device']}{threads}, torch {head['torch']}, {head['date']}."


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def span(values: Iterable[float], form: str = "{:.0f}") -> str:
    """The least and the greatest value, or the one that there is."""
    ordered = sorted(values)
    lowest, highest = form.format(ordered[0]), form.format(ordered[-1])
    return lowest if lowest == highest else f"{lowest} to {highest}"


def signed(value: float) -> str:
    """Three digits with a sign, which a zero has too: +0.012, −0.012, +0.000."""
    return f"{round(value, 3) + 0:+.3f}".replace("-", "−")


def listed(names: Iterable[str]) -> str:
    """a, b and c."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
