"""The pictures of the template browser: what goes into a workflow, and the words that come out.

The words are what the embedded model finds for the drawings that come along. Where a workflow goes on to draw, with a
model that is not at hand here, an empty frame with that model's name stands for its picture.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from pez_core import Encoder, SearchSettings, load_encoder, open_pictures, tasks
from pez_core.encoders.embedded import FOLDER

SIDE, TILE = 512, 64
TOP, MARGIN, ARROW = 80, 16, 44  # the browser's badge covers what is above TOP
BACKGROUND, PAPER, INK, LINE, RED, GREEN = "#1f2227", "#f4f1e8", "#1a1a1a", "#9aa3ad", "#e5484d", "#8fd6a8"
FONT = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans-Bold.ttf"
LONG = "a flat drawing of a rescue worker's helmet with a white cross, on a pink background"
SCORED = "a flat drawing of lungs on a white background"

Box = tuple[int, int, int, int]
Panel = Callable[[ImageDraw.ImageDraw, Image.Image, Box], None]


def thumbnail(workflow: str) -> Image.Image:
    """The thumbnail of the workflow of that name. Raises KeyError for one that CONTENTS lacks."""
    panels = CONTENTS[workflow]()
    picture = Image.new("RGB", (SIDE, SIDE), BACKGROUND)
    pen = ImageDraw.Draw(picture)
    height = (SIDE - TOP - MARGIN - ARROW * (len(panels) - 1)) // len(panels)
    for number, panel in enumerate(panels):
        top = TOP + number * (height + ARROW)
        panel(pen, picture, (MARGIN, top, SIDE - MARGIN, top + height))
        if number:
            middle = SIDE // 2
            pen.line((middle, top - ARROW + 8, middle, top - 14), LINE, 5)
            pen.polygon([(middle - 13, top - 18), (middle + 13, top - 18), (middle, top - 5)], LINE)
    return picture


def pictures(*numbers: int, crossed: bool = False) -> Panel:
    """Drawings side by side, perhaps crossed out."""

    def draw(_: ImageDraw.ImageDraw, picture: Image.Image, box: Box) -> None:
        left, top, right, bottom = box
        side = min(bottom - top, (right - left) // len(numbers) - 8)
        start = (left + right - (side + 8) * len(numbers)) // 2 + 4
        for place, number in enumerate(numbers):
            tile = _tile(number).resize((side, side), Image.Resampling.LANCZOS)
            if crossed:
                pen = ImageDraw.Draw(tile)
                pen.line((8, 8, side - 8, side - 8), RED, 9)
                pen.line((8, side - 8, side - 8, 8), RED, 9)
            picture.paste(tile, (start + place * (side + 8), (top + bottom - side) // 2))

    return draw


def words(text: str, fill: str = PAPER, ink: str = INK) -> Panel:
    """Text on paper, as large as it fits."""

    def draw(pen: ImageDraw.ImageDraw, _: Image.Image, box: Box) -> None:
        left, top, right, bottom = box
        pen.rounded_rectangle(box, 12, fill)
        for size in range(46, 17, -2):
            font = ImageFont.truetype(str(FONT), size)
            lines = "\n".join(_wrapped(pen, font, text, right - left - 28))
            _, _, width, height = pen.multiline_textbbox((0, 0), lines, font, spacing=6)
            if width <= right - left - 28 and height <= bottom - top - 16:
                break
        pen.multiline_text(((left + right) // 2, (top + bottom) // 2), lines, ink, font, "mm", 6, "center")

    return draw


def frame(label: str) -> Panel:
    """An empty frame, for a picture that a model draws."""

    def draw(pen: ImageDraw.ImageDraw, _: Image.Image, box: Box) -> None:
        left, top, right, bottom = box
        middle, half = (left + right) // 2, (bottom - top) // 2
        pen.rounded_rectangle((middle - 2 * half, top, middle + 2 * half, bottom), 8, outline=GREEN, width=5)
        pen.text((middle, (top + bottom) // 2), label, GREEN, ImageFont.truetype(str(FONT), 36), "mm")

    return draw


def _wrapped(pen: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont, text: str, width: int) -> list[str]:
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".strip()
            if line and pen.textlength(longer, font) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return lines


def _tile(number: int) -> Image.Image:
    with Image.open(FOLDER / "examples.png") as sheet:
        row, column = divmod(number, sheet.width // TILE)
        return sheet.convert("RGB").crop((TILE * column, TILE * row, TILE * (column + 1), TILE * (row + 1)))


@cache
def _encoder() -> Encoder:
    return load_encoder()


def _features(*numbers: int) -> Tensor:
    sheet = open_pictures([FOLDER / "examples.png"])[0]
    columns = sheet.shape[1] // TILE
    places = [divmod(number, columns) for number in numbers]
    return _encoder().encode_images(
        [sheet[TILE * row : TILE * (row + 1), TILE * column : TILE * (column + 1)] for row, column in places]
    )


def _settings(tokens: int, steps: int = 300) -> SearchSettings:
    return SearchSettings(tokens=tokens, steps=steps, seed=0)


@cache
def _prompt(*numbers: int, tokens: int = 8) -> str:
    return tasks.invert(_encoder(), _features(*numbers), _settings(tokens)).text


def _style(numbers: tuple[int, ...], tokens: int) -> str:
    return tasks.style(_encoder(), _features(*numbers), _settings(tokens)).text


def _negative(avoid: int, keep: int) -> str:
    return tasks.negative(_encoder(), _features(avoid), _settings(8), _features(keep)).text


def _shorter() -> str:
    return tasks.distill(_encoder(), LONG, _settings(1, 200), tasks.RATIO).text


def _score() -> str:
    scored = tasks.score(_encoder(), SCORED, _features(0))
    best = sorted(scored.pieces, key=lambda piece: -piece.contribution)[:2]
    parts = ", ".join(f"{piece.text.strip()} {piece.contribution:+.2f}" for piece in best)
    return f"{scored.similarity:.2f}\n{parts}"


CONTENTS: dict[str, Callable[[], list[Panel]]] = {
    "01 Picture to prompt (no downloads)": lambda: [pictures(0), words(_prompt(0))],
    "02 Style to prompt (no downloads)": lambda: [pictures(0, 1, 2, 3), words(_style((0, 1, 2, 3), 4))],
    "03 Shorter prompts (no downloads)": lambda: [words(LONG), words(_shorter())],
    "04 Prompt score (no downloads)": lambda: [pictures(0), words(SCORED), words(_score())],
    "05 Picture to prompt (SD1.5)": lambda: [pictures(4), words(_prompt(4)), frame("SD1.5")],
    "06 Picture to prompt (SDXL)": lambda: [pictures(8), words(_prompt(8)), frame("SDXL")],
    "07 Style to prompt (SD1.5)": lambda: [
        pictures(12, 13, 14),
        words(f"a lighthouse {_style((12, 13, 14), 4)}"),
        frame("SD1.5"),
    ],
    "08 Negative prompt (SD1.5)": lambda: [
        pictures(9, crossed=True),
        words(f"not: {_negative(9, 10)}"),
        frame("SD1.5"),
    ],
    "09 Two pictures to prompt (SD1.5)": lambda: [
        pictures(5, 3),
        words(f"{_prompt(5, tokens=4)}, {_prompt(3, tokens=4)}"),
        frame("SD1.5"),
    ],
    "10 Shorter prompt (SD1.5)": lambda: [words(LONG), words(_shorter()), frame("SD1.5")],
    "11 Classify texts (language model)": lambda: [
        words("a joy to watch: good\na dull, lazy film: bad"),
        words("{text} {prompt} It was {label}"),
        words("prompt, accuracy"),
    ],
}
