"""The PEZ step (Wen et al. 2023, algorithm 1) over several candidates at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from .best import Offer
from .objectives import Judged
from .projection import Projection


class Goal(Protocol):
    """What learned ids are judged by."""

    def judge_with_gradient(self, ids: Tensor, generator: torch.Generator | None = None) -> tuple[Judged, Tensor]:
        """Ids (B, M) judged, and the gradient (B, M, D) of the loss at their embeddings."""
        ...


class Rates(Protocol):
    """How far a step goes."""

    @property
    def learning_rate(self) -> float: ...

    @property
    def weight_decay(self) -> float: ...


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
        rates: Rates,
        generator: torch.Generator,
        kept_steps: int,
    ) -> None:
        count, length, _ = iterate.shape
        device = iterate.device
        self.iterate = iterate.clone().requires_grad_(True)
        self.ids = torch.zeros((kept_steps, count, length), dtype=torch.long, device=device)
        self.judged = Judged(*(torch.zeros((kept_steps, count), device=device) for _ in Judged._fields))
        self._slot = torch.zeros(1, dtype=torch.long, device=device)
        self._goal, self._projection, self._rates, self._generator = goal, projection, rates, generator
        self._optimiser = torch.optim.AdamW(
            [self.iterate], lr=rates.learning_rate, weight_decay=rates.weight_decay, capturable=iterate.is_cuda
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

    def last(self, steps: int) -> list[Offer]:
        """What the last `steps` steps tried, oldest first: ids (B, M), and how they were judged; waits for them."""
        kept = len(self.ids)
        slots = (self._slot - steps + torch.arange(steps, device=self._slot.device)) % kept
        return list(zip(*(values[slots].tolist() for values in (self.ids, *self.judged))))

    def halved(self) -> Descent:
        """The same descent with the first half of its candidates, for when all of them do not fit the memory."""
        half, kept_steps = len(self.iterate) // 2, len(self.ids)
        iterate = self.iterate.detach()[:half]
        descent = Descent(self._goal, self._projection, iterate, self._rates, self._generator, kept_steps)
        if self._optimiser.state[self.iterate]:
            moments = {name: value[:half] if value.ndim else value for name, value in self.state().items()}
            descent.restore(moments)
        return descent

    def state(self) -> dict[str, Tensor]:
        """All that the next steps depend on, apart from the generator."""
        return {"iterate": self.iterate.detach(), **self._optimiser.state[self.iterate]}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        with torch.no_grad():
            self.iterate.copy_(state["iterate"])
        moments = {name: state[name] for name in ("step", "exp_avg", "exp_avg_sq")}
        self._optimiser.state[self.iterate] = {name: value.to(self.iterate.device) for name, value in moments.items()}
