"""Similarities of pictures to pictures, as a number, a table and a picture."""

from typing import Any

import torch
from torch import Tensor

from .figure import figure_of, pixels

WIDTH = 9
CELL_INCHES, EDGE_INCHES = 0.45, 1.2
MOST_NUMBERED = 20


def mean_similarity(similarities: Tensor, same: bool) -> float:
    """The mean of similarities (N, M); where rows and columns are the `same` pictures, of those to another picture."""
    if same and len(similarities) > 1:
        count = len(similarities)
        return ((similarities.sum() - similarities.trace()) / (count * (count - 1))).item()
    return similarities.mean().item()


def similarity_table(similarities: Tensor) -> str:
    """A line for each row, with its most similar column last."""
    rows, columns = similarities.shape
    head = f"{'':<{WIDTH}}" + "".join(f"{number:>{WIDTH}}" for number in range(1, columns + 1)) + f"{'best':>{WIDTH}}"
    lines = [head]
    for row in range(rows):
        values = similarities[row].tolist()
        best = int(similarities[row].argmax()) + 1
        lines.append(f"{row + 1:<{WIDTH}}" + "".join(f"{value:>{WIDTH}.3f}" for value in values) + f"{best:>{WIDTH}}")
    return "\n".join(lines)


def similarity_picture(similarities: Tensor) -> Tensor:
    """The similarities (N, M) as shades with their numbers, RGB (H, W, 3) with values 0 to 1."""
    rows, columns = similarities.shape
    shown = similarities.cpu()
    sides = [EDGE_INCHES + CELL_INCHES * min(count, MOST_NUMBERED) for count in (columns, rows)]
    figure: Any = figure_of(sides[0], sides[1])
    axes = figure.add_subplot()
    axes.imshow(shown.numpy(), cmap="viridis", aspect="auto")
    axes.set_xticks(*_ticks(columns))
    axes.set_yticks(*_ticks(rows))
    if max(rows, columns) <= MOST_NUMBERED:
        middle = (shown.min() + shown.max()) / 2
        for row, column in torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).tolist():
            value = shown[row, column].item()
            colour = "black" if value > middle else "white"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour)
    return pixels(figure)


def _ticks(count: int) -> tuple[list[int], list[str]]:
    places = list(range(0, count, -(-count // MOST_NUMBERED)))
    return places, [str(place + 1) for place in places]
