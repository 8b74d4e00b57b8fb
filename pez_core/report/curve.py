"""A picture of how a search went."""

import textwrap
from collections.abc import Sequence

from torch import Tensor

from .figure import figure_of, pixels

INCHES = (6.4, 3.6)
CAPTION_WIDTH = 90


def draw_curve(history: Sequence[float], caption: str) -> Tensor:
    """The best similarity after each step, as an RGB picture (360, 640, 3) with values 0 to 1."""
    figure = figure_of(*INCHES)
    axes = figure.add_subplot()
    axes.plot(range(1, len(history) + 1), history, color="tab:blue")
    axes.set_xlabel("step")
    axes.set_ylabel("best similarity")
    axes.set_title(textwrap.fill(caption, CAPTION_WIDTH), fontsize=9, parse_math=False)
    axes.grid(alpha=0.3)
    return pixels(figure)
