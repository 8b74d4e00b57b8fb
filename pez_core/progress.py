"""Progress of a long task in a terminal."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol, TypeVar

from tqdm import tqdm

LINES_PER_RUN = 10


class Step(Protocol):
    """How far a task is."""

    @property
    def step(self) -> int: ...


P = TypeVar("P", bound=Step)


@contextmanager
def shown(steps: int, describe: Callable[[P], str]) -> Iterator[Callable[[P], bool]]:
    """Progress on standard error: a bar on a terminal, ten lines elsewhere. Ctrl-C asks the task to stop."""
    interrupted = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True

    bar = tqdm(total=steps, unit="step", disable=not sys.stderr.isatty())

    def on_step(progress: P) -> bool:
        bar.set_postfix_str(describe(progress), refresh=False)
        bar.update(progress.step - bar.n)
        if bar.disable and progress.step % max(1, steps // LINES_PER_RUN) == 0:
            tqdm.write(f"step {progress.step}/{steps}  {describe(progress)}", file=sys.stderr)
        return interrupted

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield on_step
    finally:
        signal.signal(signal.SIGINT, before)
        bar.close()
