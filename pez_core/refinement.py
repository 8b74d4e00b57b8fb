"""Refinement of the best prompt by swapping tokens, after the search by gradient descent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from .best import Offer
from .descent import Goal
from .objectives import Judged
from .out_of_memory import in_parts
from .projection import Projection

SWAPS = 128


class SwapGoal(Goal, Protocol):
    """What a prompt with one token swapped is judged by."""

    def judge_swaps(self, learned: Sequence[int], position: int, tokens: Tensor) -> Judged:
        """The prompt with each of `tokens` (N,) in turn at one position."""
        ...


class Incumbent(Protocol):
    """The best prompt so far, which changes only when an offer beats it in its round trip."""

    learned: tuple[int, ...]


def refine(
    goal: SwapGoal, projection: Projection, incumbent: Incumbent, rounds: int, generator: torch.Generator
) -> Iterator[Offer]:
    """What `rounds` of refinement offer; nothing when there is no incumbent."""
    refinement = Refinement(goal, projection, incumbent, generator)
    for _ in range(rounds if incumbent.learned else 0):
        yield refinement.round()


class Refinement:
    """Offers to replace one token of the incumbent: coordinate descent by gradient (GCG; Zou et al. 2023, section 2.2).

    The gradient at the incumbent's embeddings ranks the tokens for every position. A round takes one position, judges
    the incumbent with each of the `swaps` first tokens there, and offers them all. When every position has been tried
    in vain, the next `swaps` of the ranking come up.
    """

    def __init__(
        self,
        goal: SwapGoal,
        projection: Projection,
        incumbent: Incumbent,
        generator: torch.Generator,
        swaps: int = SWAPS,
    ) -> None:
        self._goal, self._projection, self._incumbent = goal, projection, incumbent
        self._generator, self._swaps = generator, swaps
        self._learned: tuple[int, ...] = ()
        self._gains = torch.empty(0)
        self._fresh: set[int] = set()
        self._turns: list[int] = []
        self._first = 0

    def round(self) -> Offer:
        """The incumbent with other tokens at one position, and how they are judged."""
        if self._incumbent.learned != self._learned:
            self._learned, self._first = self._incumbent.learned, 0
            self._gains = _gains(self._goal, self._projection, self._learned)
            self._fresh = set(range(len(self._learned)))
        if not self._turns:
            self._turns = torch.randperm(len(self._learned), generator=self._generator).tolist()
        if not self._fresh:
            self._fresh, self._first = set(range(len(self._learned))), self._first + self._swaps
        learned, position = self._learned, self._turns.pop()
        self._fresh.discard(position)
        tokens = self._projection.preferred[self._window(self._gains[position])]
        parts = in_parts(lambda some: self._goal.judge_swaps(learned, position, some), tokens, self._swaps)
        judged = Judged(*(torch.cat(values) for values in zip(*parts)))
        swapped = [[*learned[:position], token, *learned[position + 1 :]] for token in tokens.tolist()]
        return swapped, judged.score.tolist(), judged.reported.tolist()

    def state(self) -> dict[str, Tensor]:
        """All that the next rounds depend on, apart from the goal, the incumbent and the generator."""
        numbers = {"learned": self._learned, "fresh": sorted(self._fresh), "turns": self._turns, "first": [self._first]}
        return {name: torch.tensor(list(values), dtype=torch.long) for name, values in numbers.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        self._learned = tuple(state["learned"].tolist())
        self._gains = _gains(self._goal, self._projection, self._learned)
        self._fresh, self._turns = set(state["fresh"].tolist()), state["turns"].tolist()
        self._first = int(state["first"])

    def _window(self, gains: Tensor) -> Tensor:
        first = self._first % len(gains)
        return gains.topk(min(first + self._swaps, len(gains))).indices[first:]


def _gains(goal: SwapGoal, projection: Projection, learned: Sequence[int]) -> Tensor:
    """How much each preferred token would lower the loss at each position, to first order (M, P)."""
    _, gradient = goal.judge_with_gradient(torch.tensor([list(learned)], device=projection.preferred.device))
    return -projection.products(gradient[0])
