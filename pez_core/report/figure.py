"""Figures of matplotlib as pictures."""

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS = 100


def figure_of(width: float, height: float) -> "Figure":
    """An empty figure of that many inches, in no window."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DOTS, layout="constrained")


def pixels(figure: "Figure") -> Tensor:
    """The figure as an RGB picture (H, W, 3) with values 0 to 1."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a text in a script that the font lacks
        canvas.draw()
    return torch.from_numpy(np.asarray(canvas.buffer_rgba())[..., :3].astype(np.float32) / 255)
