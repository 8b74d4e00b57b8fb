"""Ranked prompts as a table and a contact sheet."""

import textwrap
from collections.abc import Sequence

from torch import Tensor

from ..encoders.pictures import as_rgb
from ..picture_ranking import RankedPrompt
from .figure import figure_of, pixels

COLUMNS = 4
CELL_INCHES = (2.2, 2.7)
LINE = 32
MOST_LINES = 3


def ranking_table(ranked: Sequence[RankedPrompt]) -> str:
    """A line for each prompt, the best first: its rank, the similarity of its pictures, its text."""
    return "\n".join(f"{rank:>3}  {each.similarity:.3f}  {each.text}" for rank, each in enumerate(ranked, 1))


def contact_sheet(ranked: Sequence[RankedPrompt], drawn: Sequence[Sequence[Tensor]], wanted: Tensor) -> Tensor:
    """The wanted picture and the best one of each prompt, the best prompt first, RGB (H, W, 3) with values 0 to 1.

    `drawn` are the pictures (H, W, C) of each prompt, in the order in which the prompts were given.
    """
    cells = [("wanted", wanted)]
    cells += [
        (_caption(rank, each), drawn[each.prompt][each.picture]) for rank, each in enumerate(ranked, 1)
    ]  # fmt: skip
    columns = min(COLUMNS, len(cells))
    rows = -(-len(cells) // columns)
    figure = figure_of(CELL_INCHES[0] * columns, CELL_INCHES[1] * rows)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in grid:
        axes.set_axis_off()
    for axes, (caption, picture) in zip(grid, cells):
        axes.imshow(as_rgb(picture).cpu().numpy(), interpolation="nearest" if len(picture) <= 128 else "antialiased")
        axes.set_title(caption, fontsize=7, parse_math=False)
    return pixels(figure)


def _caption(rank: int, each: RankedPrompt) -> str:
    lines = textwrap.wrap(each.text, LINE, max_lines=MOST_LINES, placeholder=" …")
    return "\n".join([f"{rank} · {each.similarity:.3f}", *lines])
