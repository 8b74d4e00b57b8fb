"""The continuous prompt that gradients are applied to."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class Iterate:
    """The iterates P (B, M, D) of B candidates, moved by AdamW (Loshchilov and Hutter 2019)."""

    def __init__(self, start: Tensor, learning_rate: float, weight_decay: float) -> None:
        self.values = start.clone().requires_grad_(True)
        self._rates = learning_rate, weight_decay
        self._optimiser = torch.optim.AdamW(
            [self.values], lr=learning_rate, weight_decay=weight_decay, capturable=start.is_cuda
        )

    def move(self, gradient: Tensor) -> None:
        """One step against `gradient` (B, M, D)."""
        self.values.grad = gradient
        self._optimiser.step()

    def halved(self) -> Iterate:
        """The first half of the candidates, with their moments."""
        half = len(self.values) // 2
        state = {name: value[:half] if value.ndim else value for name, value in self.state().items()}
        iterate = Iterate(state["iterate"], *self._rates)
        if len(state) > 1:
            iterate.restore(state)
        return iterate

    def state(self) -> dict[str, Tensor]:
        """All that the next moves depend on."""
        return {"iterate": self.values.detach(), **self._optimiser.state[self.values]}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state` gave."""
        with torch.no_grad():
            self.values.copy_(state["iterate"])
        moments = {name: state[name] for name in ("step", "exp_avg", "exp_avg_sq")}
        self._optimiser.state[self.values] = {name: value.to(self.values.device) for name, value in moments.items()}
