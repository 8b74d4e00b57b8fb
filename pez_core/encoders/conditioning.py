"""A text tower by what a sampler gets from it: its token states instead of the pooled feature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from ..errors import PezError
from .encoder import Encoder
from .tower import CausalTower, Remembered, WrappedTower, unit
from .transformer import read_all

POOLED, CONDITIONING = MODES = ("pooled", "conditioning")


class ConditioningTower(WrappedTower):
    """The mean of a tower's token states over all positions but the start, padding included, as a unit feature.

    Cross-attention sees the states as a set, and the mean is what it makes of the set where it attends evenly. The
    states are those after `layers` of the blocks (None: all of them), normalised where `normed`; the tower's padding
    fills the context, which is the tower's own or a shorter one.
    """

    def __init__(
        self, tower: CausalTower, layers: int | None = None, normed: bool = True, context_length: int | None = None
    ) -> None:
        super().__init__(tower)
        self.context_length = context_length or tower.context_length
        self._tower, self._blocks, self._normed = tower, tower.blocks[:layers], normed

    @cached_property
    def _padding(self) -> Tensor:
        return self.embed(torch.tensor([self._tower.pad_id], device=self.device)).detach()

    @torch.no_grad()
    def remember(self, ids: Sequence[int]) -> Remembered:
        """Only the tokens: their states count in the mean, so they are computed with the rest."""
        return [self.embed(torch.tensor([list(ids)], device=self.device))]

    def encode(self, embedded: Tensor, ends: Tensor, past: Remembered = ()) -> Tensor:
        if past:
            embedded, ends = torch.cat([past[0].expand(len(embedded), -1, -1), embedded], 1), ends + past[0].shape[1]
        missing = self.context_length - embedded.shape[1]
        filled = torch.cat([embedded, self._padding.expand(len(embedded), missing, -1)], 1)
        after_end = torch.arange(self.context_length, device=embedded.device) > ends[:, None]
        filled = torch.where(after_end[..., None], self._padding, filled)
        states = read_all(self._blocks, self._tower.place(filled, 0))
        return unit((self._tower.final_norm(states) if self._normed else states)[:, 1:].float().mean(1))


def conditioning_encoder(encoder: Encoder) -> Encoder:
    """The encoder by its token states, for texts that are compared with texts.

    Raises PezError for a model whose text tower is not a single one.
    """
    if not isinstance(encoder.tower, CausalTower):
        raise PezError(f"mode conditioning does not go with model {encoder.name!r}; choose pooled.")
    return replace(encoder, tower=ConditioningTower(encoder.tower))
