"""Contact sheets: what was written is read, pixel for pixel, and the committed ones are whole."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import sheets
from benchmarks.quality import DATA as BENCHMARK_DATA

TEST_DATA = Path(__file__).parents[1] / "data"
COMMITTED = [
    path.with_suffix("")
    for folder in (TEST_DATA, BENCHMARK_DATA)
    for path in folder.glob("*.png")
    if path.stem != "picture"
]


@pytest.mark.parametrize("count", [1, 6, 10, 23])
def test_what_was_written_is_read(tmp_path, count):
    pixels = np.random.default_rng(count).integers(0, 256, (count, sheets.SIDE, sheets.SIDE, 3), dtype=np.uint8)
    sheets.write(tmp_path, "some", [Image.fromarray(one) for one in pixels], [{"number": n} for n in range(count)])
    found = sheets.read(tmp_path, "some")
    assert torch.equal(torch.stack(found.pixels), torch.from_numpy(pixels).float() / 255)
    assert found.facts == [{"number": number, "tile": f"some/{number:02d}.png"} for number in range(count)]


@pytest.mark.parametrize("sheet", COMMITTED, ids=lambda path: path.name)
def test_a_committed_sheet_has_a_tile_for_each_of_its_facts(sheet):
    pixels, facts = sheets.read(sheet.parent, sheet.name)
    columns, rows = (side // sheets.SIDE for side in Image.open(sheet.with_suffix(".png")).size)
    assert columns * rows == len(facts) == len({picture.numpy().tobytes() for picture in pixels})
    assert [fact["tile"] for fact in facts] == [f"{sheet.name}/{number:02d}.png" for number in range(len(facts))]


def test_the_single_picture_is_the_first_of_contents():
    (first,) = sheets.cut(TEST_DATA / "contents.png", 1)
    assert Image.open(TEST_DATA / "picture.png").tobytes() == first.tobytes()
