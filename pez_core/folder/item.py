"""A picture of a job, and what becomes of it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import PezError
from ..hard_prompt import HardPrompt


@dataclass(frozen=True)
class Item:
    """A picture and its caption, each as a file or as the bytes that an archive holds; `caption` is None without one.

    `key` names the picture in every run, and `stem` its caption file, less .txt. `others` are what else an archive
    holds of it, by extension.
    """

    key: str
    stem: str
    picture: Path | bytes
    caption: Path | bytes | None
    others: Mapping[str, bytes] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Failure:
    """What could not be read or searched, and why."""

    key: str
    reason: str


@dataclass(frozen=True)
class Outcome:
    """What was found for a picture, or what kept it from being searched."""

    item: Item
    found: HardPrompt | PezError


Engine = Callable[[Iterable[Item]], Iterator[Outcome]]
"""Finds texts for pictures as they come; the outcomes may come in any order."""
