"""Refinement of the best prompt by swapping tokens, after the search by gradient descent."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ..device.out_of_memory import in_parts
from .judge import Judge, Offer, Verdict
from .projection import Projection

SWAPS = 128


class Refinement:
    """Offers to swap one token of the best prompt: coordinate descent by gradient (GCG; Zou et al. 2023, section 2.2).

    The gradient at the prompt's embeddings ranks the tokens for every position. A round takes one position, judges the
    prompt with each of the `swaps` first tokens there, and offers them all. When every position has been tried in
    vain, the next `swaps` of the ranking come up.
    """

    def __init__(self, judge: Judge, projection: Projection, generator: torch.Generator, swaps: int = SWAPS) -> None:
        self._judge, self._projection, self._generator, self._swaps = judge, projection, generator, swaps
        self._learned: tuple[int, ...] = ()
        self._gains = torch.empty(0)
        self._fresh: set[int] = set()
        self._turns: list[int] = []
        self._first = 0

    def round(self, learned: tuple[int, ...]) -> Offer:
        """The best prompt, `learned`, with other tokens at one position."""
        if learned != self._learned:
            self._learned, self._first = learned, 0
            self._gains = self._gains_by_token()
            self._fresh = set(range(len(learned)))
        if not self._turns:
            self._turns = torch.randperm(len(learned), generator=self._generator).tolist()
        if not self._fresh:
            self._fresh, self._first = set(range(len(learned))), self._first + self._swaps
        position = self._turns.pop()
        self._fresh.discard(position)
        tokens = self._projection.preferred[self._window(self._gains[position])]
        parts = in_parts(lambda some: self._judge.swaps(learned, position, some), tokens, self._swaps)
        ids = torch.tensor([learned], device=tokens.device).repeat(len(tokens), 1)
        ids[:, position] = tokens
        return Offer(ids, Verdict(*(torch.cat(values) for values in zip(*parts))))

    def state(self) -> dict[str, Tensor]:
        """All that the next rounds depend on, apart from the judge, the prompt and the generator."""
        numbers = {"learned": self._learned, "fresh": sorted(self._fresh), "turns": self._turns, "first": [self._first]}
        return {name: torch.tensor(list(values), dtype=torch.long) for name, values in numbers.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        self._learned = tuple(state["learned"].tolist())
        self._gains = self._gains_by_token()
        self._fresh, self._turns = set(state["fresh"].tolist()), state["turns"].tolist()
        self._first = int(state["first"])

    def _window(self, gains: Tensor) -> Tensor:
        first = self._first % len(gains)
        return gains.topk(min(first + self._swaps, len(gains))).indices[first:]

    def _gains_by_token(self) -> Tensor:
        """How much each preferred token would lower the loss at each position, to first order (M, P)."""
        ids = torch.tensor([self._learned], device=self._projection.preferred.device)
        _, gradient = self._judge.with_gradient(ids)
        return -self._projection.products(gradient[0])
