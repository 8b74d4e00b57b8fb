"""The PEZ step (Wen et al. 2023) over several candidates at once."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from ..device.cuda_graph import CapturedStep, Step
from ..device.out_of_memory import free_unused, is_out_of_memory
from ..device.read_ahead import ReadAhead
from ..errors import PezError
from .iterate import Iterate
from .judge import Judge, Offer, Verdict
from .projection import Projection


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
        while (taken := self._fitting()) is None:
            self._halve()
        ids, score, reported = taken
        return Offer(ids, Verdict(score, reported))

    def _step(self) -> tuple[Tensor, Tensor, Tensor]:
        """Algorithm 1: project P to P′, take the gradient of the loss at P′, and apply it to P."""
        ids = self._projection(self.iterate.values.detach())
        verdict, gradient = self._judge.with_gradient(ids, self._generator)
        self.iterate.move(gradient)
        return ids, verdict.score, verdict.reported

    def _accelerated(self) -> Step:
        step: Step = CapturedStep(self._step, self._generator) if self._captured else self._step
        return ReadAhead(step) if self._queued else step

    def _fitting(self) -> Sequence[Tensor] | None:
        """A step, or None when it ran out of memory."""
        try:
            return self._advance()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return None

    def _halve(self) -> None:
        count = self.candidates
        if count == 1:
            raise PezError(
                "candidates is 1 and the device is out of memory; shorten prompt_length or free some memory."
            )
        free_unused()
        self.iterate = self.iterate.halved()
        self._advance = self._accelerated()
        logging.getLogger(__name__).warning(
            "PEZ: not enough memory for %d candidates; %d go on.", count, self.candidates
        )
