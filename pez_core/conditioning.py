"""A text tower by what a sampler gets from it: its token states instead of the pooled feature."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .blocks import read_all
from .objectives import unit
from .tower import CONTEXT_LENGTH, CausalTower, Remembered, TextTower


class ConditioningTower(TextTower):
    """The mean of a tower's token states over all positions but the start, padding included, as a unit feature.

    Cross-attention sees the states as a set, and the mean is what it makes of the set where it attends evenly. The
    states are those after `layers` of the blocks, and `norm` where the model asks for it; `pad_id` fills the context.
    """

    def __init__(self, tower: CausalTower, layers: int, norm: Callable[[Tensor], Tensor] | None, pad_id: int) -> None:
        self.name, self.start_id, self.end_id = tower.name, tower.start_id, tower.end_id
        self._tower, self._blocks, self._norm = tower, tower.blocks[:layers], norm
        self._padding = tower.embed(torch.tensor([pad_id], device=tower.device))

    @property
    def embeddings(self) -> Tensor:
        return self._tower.embeddings

    @property
    def device(self) -> torch.device:
        return self._tower.device

    def embed(self, ids: Tensor) -> Tensor:
        return self._tower.embed(ids)

    @torch.no_grad()
    def remember(self, ids: Sequence[int]) -> Remembered:
        """Only the tokens: their states count in the mean, so they are computed with the rest."""
        return [self.embed(torch.tensor([list(ids)], device=self.device))]

    def encode(self, embedded: Tensor, ends: Tensor, past: Remembered = ()) -> Tensor:
        if past:
            embedded, ends = torch.cat([past[0].expand(len(embedded), -1, -1), embedded], 1), ends + past[0].shape[1]
        missing = CONTEXT_LENGTH - embedded.shape[1]
        filled = torch.cat([embedded, self._padding.expand(len(embedded), missing, -1)], 1)
        after_end = torch.arange(CONTEXT_LENGTH, device=embedded.device) > ends[:, None]
        filled = torch.where(after_end[..., None], self._padding, filled)
        states = read_all(self._blocks, self._tower.place(filled, 0))
        return unit((states if self._norm is None else self._norm(states))[:, 1:].float().mean(1))
