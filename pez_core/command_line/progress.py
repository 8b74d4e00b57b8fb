"""Progress of a search, and of a job with many, in a terminal."""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType

from tqdm import tqdm

from ..folder.job import OnPicture, Tally
from ..optimiser.run import OnStep, Progress

LINES_PER_RUN = 10
SECONDS_PER_LINE = 60
BAR = "{percentage:3.0f}%|{bar}| {n_fmt} of {total_fmt} pictures [{elapsed}, {remaining} left{postfix}]"


@contextmanager
def shown(steps: int) -> Iterator[OnStep]:
    """Progress on standard error: a bar on a terminal, ten lines elsewhere. Ctrl-C asks the search to stop."""
    last = None
    bar = tqdm(total=steps, unit="step", disable=not sys.stderr.isatty())

    def on_step(progress: Progress) -> bool:
        nonlocal last
        if progress == last or not progress.step:
            return pressed.is_set()
        last = progress
        best = f"{progress.reported:.3f}  {progress.text}"
        bar.set_postfix_str(best, refresh=False)
        bar.update(progress.step - bar.n)
        if bar.disable and progress.step % max(1, steps // LINES_PER_RUN) == 0:
            tqdm.write(f"step {progress.step}/{steps}  {best}", file=sys.stderr)
        return pressed.is_set()

    with ctrl_c() as pressed, bar:
        yield on_step


@contextmanager
def pictures_shown(total: int) -> Iterator[OnPicture]:
    """Progress through pictures on standard error: a bar on a terminal, a line a minute elsewhere.

    Ctrl-C asks the job to stop after the pictures that are under way.
    """
    bar = tqdm(total=total, smoothing=0, bar_format=BAR, disable=not sys.stderr.isatty())
    began = told = time.monotonic()

    def on_picture(tally: Tally) -> bool:
        nonlocal told
        now, searched = time.monotonic(), tally.done + tally.failed
        an_hour = round(3600 * searched / max(now - began, 1e-6))
        counts = f"{an_hour:,} an hour, {tally.failed:,} failed"
        if not bar.disable:
            bar.initial = tally.before
            bar.set_postfix_str(counts, refresh=False)
            bar.update(searched + tally.before - bar.n)
        elif now - told >= SECONDS_PER_LINE:
            told = now
            left = tqdm.format_interval((total - tally.before - searched) * (now - began) / max(searched, 1))
            tqdm.write(f"{searched + tally.before:,} of {total:,} pictures, {counts}, {left} left", file=sys.stderr)
        return pressed.is_set()

    with ctrl_c() as pressed, bar:
        yield on_picture


@contextmanager
def ctrl_c() -> Iterator[Event]:
    """What Ctrl-C sets, in place of ending the program."""
    pressed = Event()

    def press(number: int, frame: FrameType | None) -> None:
        pressed.set()

    before = signal.signal(signal.SIGINT, press)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)
