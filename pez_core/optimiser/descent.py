"""The PEZ step (Wen et al. 2023) over several candidates at once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ..device.cuda_graph import CapturedStep, Step
from ..device.out_of_memory import free_unused, is_out_of_memory
from ..device.read_ahead import ReadAhead
from ..errors import PezError
from .judge import Judge, Offer, Verdict
from .projection import Projection


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

    def first(self, count: int) -> Iterate:
        """The first `count` candidates with their moments, in memory of their own."""
        state = {name: value[:count] if value.ndim else value for name, value in self.state().items()}
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
        device = self.values.device
        self._optimiser.state[self.values] = {name: value.to(device, copy=True) for name, value in moments.items()}


class Descent:
    """Moves the iterates P step by step. Candidates do not influence each other.

    Where they do not fit the memory, the first half of them goes on. On a device that queues its work steps are read
    some at a time, and `captured` ones are replayed as one CUDA graph; neither changes what they give.
    """

    def __init__(
        self,
        judge: Judge,
        projection: Projection,
        iterate: Iterate,
        generator: torch.Generator,
        queued: bool = False,
        captured: bool = False,
    ) -> None:
        self.iterate = iterate
        self._judge, self._projection, self._generator = judge, projection, generator
        self._queued, self._captured = queued, captured
        self._advance = self._accelerated()

    @property
    def candidates(self) -> int:
        """How many candidates are still searched."""
        return len(self.iterate.values)

    def step(self) -> Offer:
        """What one step of all candidates tried.

        Raises PezError when a single candidate does not fit the memory.
        """
        while True:
            try:
                ids, score, reported = self._advance()
                return Offer(ids, Verdict(score, reported))
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            self._halve()

    def _step(self) -> tuple[Tensor, Tensor, Tensor]:
        """Algorithm 1: project P to P′, take the gradient of the loss at P′, and apply it to P."""
        ids = self._projection(self.iterate.values.detach())
        verdict, gradient = self._judge.with_gradient(ids, self._generator)
        self.iterate.move(gradient)
        return ids, verdict.score, verdict.reported

    def _accelerated(self) -> Step:
        step: Step = CapturedStep(self._step, self._generator, self._mark) if self._captured else self._step
        return ReadAhead(step) if self._queued else step

    def _mark(self) -> Callable[[], None]:
        """What puts iterate and draws back to where they are now, after a capture that failed."""
        iterate, draws = self.iterate.first(self.candidates), self._generator.get_state()

        def put_back() -> None:
            self.iterate, self._captured = iterate, False
            self._generator = torch.Generator(self._generator.device)  # the old one may still be in the capture
            self._generator.set_state(draws)

        return put_back

    def _halve(self) -> None:
        count = self.candidates
        if count == 1:
            raise PezError(
                "candidates is 1 and the device is out of memory; shorten prompt_length or free some memory."
            )
        free_unused()
        self.iterate = self.iterate.first(count // 2)
        self._advance = self._accelerated()
        logging.getLogger(__name__).warning(
            "PEZ: not enough memory for %d candidates; %d go on.", count, self.candidates
        )
