"""Steps on a device that only queues its work, read some at a time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor

from .cuda_graph import Step

MOST_UNREAD = 16
UNREAD_SECONDS = 0.1


class ReadAhead:
    """The results of `step`, one call after another, on the CPU.

    Reading waits for the device, so several steps are queued and read together. How many, follows the time that the
    last ones took, so that nobody waits long for what is read.
    """

    def __init__(self, step: Step) -> None:
        self._step, self._together = step, 1
        self._read: deque[Sequence[Tensor]] = deque()

    def __call__(self) -> Sequence[Tensor]:
        if not self._read:
            began = time.monotonic()
            taken = [self._step() for _ in range(self._together)]
            self._read.extend(zip(*(torch.stack(results).cpu() for results in zip(*taken))))
            self._together = min(MOST_UNREAD, _unread((time.monotonic() - began) / self._together))
        return self._read.popleft()


def _unread(seconds_per_step: float) -> int:
    """How many steps may go unread together."""
    return max(1, int(UNREAD_SECONDS / max(seconds_per_step, 1e-9)))
