"""Progress of a search in a terminal."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from tqdm import tqdm

from ..optimiser.run import OnStep, Progress

LINES_PER_RUN = 10


@contextmanager
def shown(steps: int) -> Iterator[OnStep]:
    """Progress on standard error: a bar on a terminal, ten lines elsewhere. Ctrl-C asks the search to stop."""
    interrupted, last = False, None

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True

    bar = tqdm(total=steps, unit="step", disable=not sys.stderr.isatty())

    def on_step(progress: Progress) -> bool:
        nonlocal last
        if progress == last or not progress.step:
            return interrupted
        last = progress
        best = f"{progress.reported:.3f}  {progress.text}"
        bar.set_postfix_str(best, refresh=False)
        bar.update(progress.step - bar.n)
        if bar.disable and progress.step % max(1, steps // LINES_PER_RUN) == 0:
            tqdm.write(f"step {progress.step}/{steps}  {best}", file=sys.stderr)
        return interrupted

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield on_step
    finally:
        signal.signal(signal.SIGINT, before)
        bar.close()
