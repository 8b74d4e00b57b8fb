"""Contact sheets: the pictures that tests and benchmarks use, many to a file, each with what is true of it.

A sheet NAME.png has tiles of equal size, row by row. NAME.json lists the facts of each tile in the same order, and in
them the name of the tile.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

SIDE, COLUMNS = 64, 10


class Sheet(NamedTuple):
    """Pictures (H, W, 3) in 0..1, and for each a dict of facts."""

    pixels: list[Tensor]
    facts: list[dict]


def write(folder: Path, name: str, pictures: Sequence[Image.Image], facts: Sequence[dict]) -> None:
    """Write RGB pictures of `SIDE` × `SIDE` pixels as the sheet `name`; its tiles are called NAME/00.png and so on."""
    sheet = Image.new("RGB", (SIDE * min(len(pictures), COLUMNS), SIDE * -(-len(pictures) // COLUMNS)))
    for number, picture in enumerate(pictures):
        sheet.paste(picture, _box(number))
    sheet.save(folder / f"{name}.png", optimize=True)
    named = [{**fact, "tile": f"{name}/{number:02d}.png"} for number, fact in enumerate(facts)]
    (folder / f"{name}.json").write_text(json.dumps(named, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def cut(path: Path, count: int) -> list[Image.Image]:
    """The first `count` tiles of a sheet."""
    with Image.open(path) as sheet:
        return [sheet.crop(_box(number)) for number in range(count)]


def read(folder: Path, name: str) -> Sheet:
    facts = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    tiles = cut(folder / f"{name}.png", len(facts))
    return Sheet([torch.from_numpy(np.array(tile)).float() / 255 for tile in tiles], facts)


def _box(number: int) -> tuple[int, int, int, int]:
    row, column = divmod(number, COLUMNS)
    left, top = SIDE * column, SIDE * row
    return left, top, left + SIDE, top + SIDE
