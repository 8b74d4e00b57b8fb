"""The drawings that come along, in the styles that the embedded model knows."""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...pez_core.encoders.embedded import FOLDER

SIDE = 64


class ExamplePicture(NamedTuple):
    """A drawing by its place on the sheet, what it shows, and its style."""

    place: int
    concept: str
    style: str

    @property
    def title(self) -> str:
        return f"{self.concept} ({self.style})"

    def pixels(self) -> Tensor:
        """The drawing (1, H, W, 3) in 0..1."""
        with Image.open(FOLDER / "examples.png") as sheet:
            row, column = divmod(self.place, sheet.width // SIDE)
            tile = sheet.convert("RGB").crop((SIDE * column, SIDE * row, SIDE * (column + 1), SIDE * (row + 1)))
        return torch.from_numpy(np.array(tile)).float()[None] / 255


def example_pictures() -> dict[str, ExamplePicture]:
    """All drawings by title."""
    facts = json.loads((FOLDER / "examples.json").read_text(encoding="utf-8"))
    pictures = [ExamplePicture(place, fact["concept"], fact["style"]) for place, fact in enumerate(facts)]
    return {picture.title: picture for picture in pictures}
