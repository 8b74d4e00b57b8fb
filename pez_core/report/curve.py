"""A picture of how a search went."""

import textwrap
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

INCHES, DOTS = (6.4, 3.6), 100
CAPTION_WIDTH = 90


def draw_curve(history: Sequence[float], caption: str) -> Tensor:
    """The best similarity after each step, as an RGB picture (360, 640, 3) with values 0 to 1."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=INCHES, dpi=DOTS, layout="constrained")
    canvas: Any = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(range(1, len(history) + 1), history, color="tab:blue")
    axes.set_xlabel("step")
    axes.set_ylabel("best similarity")
    axes.set_title(textwrap.fill(caption, CAPTION_WIDTH), fontsize=9, parse_math=False)
    axes.grid(alpha=0.3)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a caption in a script that the font lacks
        canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    return torch.from_numpy(pixels.astype(np.float32) / 255)
