"""How a search runs: one clock, a time budget, progress, a way to stop, and the history."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Where a search stands after `step` of `steps`: the best text, and what is reported of it.

    That is its similarity (−1 to 1), or for classification its accuracy (0 to 1). Until there is a text, it is empty
    and what is reported is the lowest value.
    """

    step: int
    steps: int
    reported: float
    text: str


OnStep = Callable[[Progress], bool | None]


class Run:
    """A search under way, from its first step to the last, or until its time is over or `on_step` returns True.

    `time_budget` is in seconds (None: no limit); the first step is taken however short it is. `step` and `seconds` are
    what an interrupted run has behind it. `history` is what was told of every step that had a text.
    """

    def __init__(
        self,
        steps: int,
        time_budget: float | None = None,
        on_step: OnStep | None = None,
        step: int = 0,
        seconds: float = 0.0,
    ) -> None:
        self.step = step
        self.history: list[float] = []
        self._steps, self._on_step = steps, on_step
        self._budget = math.inf if time_budget is None else time_budget
        self._began = time.monotonic() - seconds
        self._over: bool | None = None
        self._told = Progress(step, steps, -1.0, "")

    @property
    def seconds(self) -> float:
        """How long the run has taken."""
        return time.monotonic() - self._began

    @property
    def spent(self) -> float:
        """The share of the run, 0 to 1, that lay behind it when this step began: of its time, or else of its steps."""
        if math.isfinite(self._budget):
            return min(1.0, self.seconds / self._budget)
        return (self.step - 1) / self._steps

    @property
    def over(self) -> bool:
        """Whether this step is the last. It is decided once, so that what a last step must do is done in one."""
        if self._over is None:
            self._over = self.step >= self._steps or self._late(1.0)
        return self._over

    def next(self, steps: int | None = None, share: float = 1.0) -> bool:
        """Begin another step: False once the run is over, or has taken `steps` or `share` of its time."""
        enough = steps is not None and self.step >= steps
        if self.over or enough or (share < 1 and self._late(share)):
            return False
        self.step, self._over = self.step + 1, None
        return True

    def tell(self, reported: float, text: str) -> None:
        """Say how the best text does after this step."""
        if text:
            self.history.append(reported)
        self._told = Progress(self.step, self._steps, reported, text)
        self.again()

    def again(self) -> None:
        """Say once more what was told last, in the midst of a long step, so that it can be stopped."""
        if self._on_step is not None and self._on_step(self._told):
            self._over = True

    def _late(self, share: float) -> bool:
        return self.step > 0 and self.seconds >= share * self._budget
