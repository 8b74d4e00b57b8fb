"""Refinement of the best prompt by swapping tokens, after the search by gradient descent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from .best import Offer
from .descent import Goal
from .objectives import Judged
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
    """Offers to replace one token of the incumbent: coordinate descent by gradient (GCG; Zou et al. 2023, section 2.2).

    The gradient at the incumbent's embeddings ranks the tokens for every position. A round takes one position, judges
    the incumbent with each of the `SWAPS` first tokens there, and offers them all. When every position has been tried
    in vain, the next `SWAPS` of the ranking come up. Nothing is offered when there is no incumbent.
    """
    learned: tuple[int, ...] = ()
    fresh: set[int] = set()
    turns: list[int] = []
    first = 0
    for _ in range(rounds if incumbent.learned else 0):
        if incumbent.learned != learned:
            learned, first = incumbent.learned, 0
            gains = _gains(goal, projection, learned)
            fresh = set(range(len(learned)))
        if not turns:
            turns = torch.randperm(len(learned), generator=generator).tolist()
        if not fresh:
            fresh, first = set(range(len(learned))), first + SWAPS
        position = turns.pop()
        fresh.discard(position)
        tokens = projection.preferred[_window(gains[position], first)]
        judged = goal.judge_swaps(learned, position, tokens)
        swapped = [[*learned[:position], token, *learned[position + 1 :]] for token in tokens.tolist()]
        yield swapped, judged.score.tolist(), judged.similarity.tolist()


def _gains(goal: SwapGoal, projection: Projection, learned: Sequence[int]) -> Tensor:
    """How much each preferred token would lower the loss at each position, to first order (M, P)."""
    _, gradient = goal.judge_with_gradient(torch.tensor([list(learned)], device=projection.preferred.device))
    return -projection.products(gradient[0])


def _window(gains: Tensor, first: int) -> Tensor:
    first = first % len(gains)
    return gains.topk(min(first + SWAPS, len(gains))).indices[first:]
