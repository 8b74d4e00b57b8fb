"""The PEZ step (Wen et al. 2023, algorithm 1) over several candidates at once."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from .hard_prompt import SearchSettings
from .objectives import Judged
from .projection import Projection


class Goal(Protocol):
    """What learned ids are judged by."""

    def judge_with_gradient(self, ids: Tensor, generator: torch.Generator | None = None) -> tuple[Judged, Tensor]:
        """Ids (B, M) judged, and the gradient (B, M, D) of the loss at their embeddings."""
        ...


class Descent:
    """The iterates P (B, M, D) on their way.

    A step works on the device alone and reads nothing back, so it can be captured, and read once in K steps: it leaves
    the ids that it tried in `ids` (K, B, M) and their judgement in `judged` (K, B), over the oldest of the last K.
    """

    def __init__(
        self,
        goal: Goal,
        projection: Projection,
        iterate: Tensor,
        settings: SearchSettings,
        generator: torch.Generator,
        kept_steps: int,
    ) -> None:
        count, length, _ = iterate.shape
        device = iterate.device
        self.iterate = iterate.clone().requires_grad_(True)
        self.ids = torch.zeros((kept_steps, count, length), dtype=torch.long, device=device)
        self.judged = Judged(*(torch.zeros((kept_steps, count), device=device) for _ in Judged._fields))
        self._slot = torch.zeros(1, dtype=torch.long, device=device)
        self._goal, self._projection, self._generator = goal, projection, generator
        self._optimiser = torch.optim.AdamW(
            [self.iterate], lr=settings.learning_rate, weight_decay=settings.weight_decay, capturable=iterate.is_cuda
        )

    def step(self) -> None:
        """Project P to P′, take the gradient of the loss at P′, and apply it to P."""
        ids = self._projection(self.iterate.detach())
        judged, self.iterate.grad = self._goal.judge_with_gradient(ids, self._generator)
        self._optimiser.step()
        self.ids.index_copy_(0, self._slot, ids[None])
        for kept, new in zip(self.judged, judged):
            kept.index_copy_(0, self._slot, new[None])
        self._slot.add_(1).remainder_(len(self.ids))
