"""A step of the search as a CUDA graph: launched as one piece, instead of a thousand kernels one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

WARM_UP = 3

Step = Callable[[], Sequence[Tensor]]


class CapturedStep:
    """`step` run as it is for the first calls, then captured once and replayed; each call gives copies of its results.

    A step must work in the same memory each time and read nothing back; `generator` is what it draws from.
    """

    def __init__(self, step: Step, generator: torch.Generator) -> None:
        self._step, self._generator = step, generator
        self._warmed = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._results: Sequence[Tensor] = ()

    def __call__(self) -> Sequence[Tensor]:
        if self._warmed < WARM_UP:
            self._warmed += 1
            return _copies(self._on_a_side_stream())
        if self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            self._graph.register_generator_state(self._generator)
            with torch.cuda.graph(self._graph):
                self._results = self._step()
        self._graph.replay()
        return _copies(self._results)

    def _on_a_side_stream(self) -> Sequence[Tensor]:
        main = torch.cuda.current_stream()
        side = torch.cuda.Stream(main.device)  # type: ignore[no-untyped-call]
        side.wait_stream(main)
        with torch.cuda.stream(side):
            results = self._step()
        main.wait_stream(side)
        return results


def _copies(results: Sequence[Tensor]) -> Sequence[Tensor]:
    return [result.clone() for result in results]
