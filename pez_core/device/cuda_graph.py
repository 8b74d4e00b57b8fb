"""A step of the search as a CUDA graph: launched as one piece, instead of a thousand kernels one by one."""

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .out_of_memory import is_out_of_memory

WARM_UP = 3

Step = Callable[[], Sequence[Tensor]]


class CapturedStep:
    """`step` run as it is for the first calls, then captured once and replayed; each call gives copies of its results.

    A step must work in the same memory each time and read nothing back; `generator` is what it draws from. `mark` gives
    what puts back all that steps change. Whatever fails on the way to the first replay is put back, a later replay that
    fails has done nothing, and the steps go on as they are.
    """

    def __init__(self, step: Step, generator: torch.Generator, mark: Callable[[], Callable[[], None]]) -> None:
        self._step, self._generator, self._mark = step, generator, mark
        self._warmed = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._results: Sequence[Tensor] = ()
        self._failed = False

    def __call__(self) -> Sequence[Tensor]:
        if self._failed:
            return self._step()
        put_back = self._mark() if self._graph is None else _nothing
        try:
            return [result.clone() for result in self._accelerated()]
        except Exception as error:
            if self._warmed < WARM_UP and is_out_of_memory(error):
                raise
            logging.getLogger(__name__).warning("PEZ goes on without a CUDA graph, which failed: %s", error)
        self._failed, self._graph, self._results = True, None, ()
        put_back()
        return self._step()

    def _accelerated(self) -> Sequence[Tensor]:
        if self._warmed < WARM_UP:
            results = self._on_a_side_stream()
            self._warmed += 1
            return results
        if self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            self._graph.register_generator_state(self._generator)
            # other threads of a host may use the device meanwhile
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
                self._results = self._step()
        self._graph.replay()
        return self._results

    def _on_a_side_stream(self) -> Sequence[Tensor]:
        main = torch.cuda.current_stream()
        side = torch.cuda.Stream(main.device)  # type: ignore[no-untyped-call]
        side.wait_stream(main)
        try:
            with torch.cuda.stream(side):
                return self._step()
        finally:
            main.wait_stream(side)


def _nothing() -> None:
    """What a step has not changed need not be put back."""
