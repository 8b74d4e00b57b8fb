"""The pictures of the template browser: what goes into a workflow, the words that come out, and what they draw.

    python -m tools.thumbnails [NAME ...]

NAME is a workflow's name; without one all are drawn, which takes some minutes. Words and pictures are what the embedded
models find and draw. Where a workflow draws with a model that is not at hand here, an empty frame with that model's
name stands for its picture.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from pez_core import Encoder, HardPrompt, SearchSettings, load_encoder, open_pictures, tasks
from pez_core.drawing import draw_texts, load_generator
from pez_core.encoders.embedded import FOLDER
from pez_core.generator import Generator
from pez_core.picture_ranking import rank_prompts
from tools.server import REPOSITORY

SIDE, TILE = 512, 64
TOP, MARGIN, ARROW = 80, 16, 44  # the browser's badge covers what is above TOP
BACKGROUND, PAPER, INK, LINE, RED, GREEN = "#1f2227", "#f4f1e8", "#1a1a1a", "#9aa3ad", "#e5484d", "#8fd6a8"
FONT = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans-Bold.ttf"
LONG = "a flat drawing of a rescue worker's helmet with a white cross, on a pink background"
SCORED = "a flat drawing of lungs on a white background"
GLOSSY, SUBJECTS = (4, 5, 6, 7), ("rocket", "tiger", "mushroom")
RATIOS = (0.7, 0.5, 0.3, 0.1)
SHOWN = 3

Box = tuple[int, int, int, int]
Panel = Callable[[ImageDraw.ImageDraw, Image.Image, Box], None]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.thumbnails", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="a workflow's name")
    names = parser.parse_args().names or list(CONTENTS)
    if unknown := set(names) - CONTENTS.keys():
        sys.exit(f"{', '.join(sorted(unknown))} is no workflow.")
    for name in names:
        write(name)


def write(workflow: str) -> None:
    """Draw the thumbnail of the workflow of that name anew, beside the workflow."""
    path = REPOSITORY / "workflows" / f"{workflow}.jpg"
    thumbnail(workflow).save(path, optimize=True, quality=85)
    print(f"{path.relative_to(REPOSITORY)}: {path.stat().st_size:,} bytes")


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
    """Drawings that come along side by side, perhaps crossed out."""
    return _row(lambda: [_tile(number) for number in numbers], RED if crossed else None)


def drawn(*texts: str) -> Panel:
    """What the embedded generator draws from texts, side by side."""
    return _row(lambda: _drawings(texts))


def _row(tiles: Callable[[], list[Image.Image]], cross: str | None = None) -> Panel:
    def draw(_: ImageDraw.ImageDraw, picture: Image.Image, box: Box) -> None:
        shown = tiles()
        left, top, right, bottom = box
        side = min(bottom - top, (right - left) // len(shown) - 8)
        start = (left + right - (side + 8) * len(shown)) // 2 + 4
        for place, each in enumerate(shown):
            tile = each.resize((side, side), Image.Resampling.LANCZOS)
            if cross:
                pen = ImageDraw.Draw(tile)
                pen.line((8, 8, side - 8, side - 8), cross, 9)
                pen.line((8, side - 8, side - 8, 8), cross, 9)
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
def _generator() -> Generator:
    return load_generator()


def _pixels(texts: Sequence[str]) -> Tensor:
    return draw_texts(_generator(), _encoder(), texts, seed=0)


def _drawings(texts: Sequence[str]) -> list[Image.Image]:
    return [Image.fromarray((picture * 255).round().byte().numpy()) for picture in _pixels(texts)]


@cache
def _found(*numbers: int, tokens: int = 8) -> HardPrompt:
    return tasks.invert(_encoder(), _features(*numbers), _settings(tokens))


def _prompt(*numbers: int, tokens: int = 8) -> str:
    return _found(*numbers, tokens=tokens).text


def _texts(number: int) -> list[str]:
    """The prompt of a drawing and its alternatives."""
    found = _found(number)
    return [found.text, *found.alternatives]


def _best(number: int) -> list[str]:
    """The prompts of a drawing whose pictures are nearest to it, the best first."""
    texts = _texts(number)
    features = _encoder().encode_images(list(_pixels(texts)))
    ranked = rank_prompts(texts, [each[None] for each in features], _features(number))
    return [each.text for each in ranked[:SHOWN]]


@cache
def _style(numbers: tuple[int, ...], tokens: int) -> str:
    return tasks.style(_encoder(), _features(*numbers), _settings(tokens)).text


def _negative(avoid: int, keep: int) -> str:
    return tasks.negative(_encoder(), _features(avoid), _settings(8), _features(keep)).text


def _shorter(ratio: float = tasks.RATIO) -> str:
    return tasks.distill(_encoder(), LONG, _settings(1, 200), ratio).text


def _score() -> str:
    scored = tasks.score(_encoder(), SCORED, _features(0))
    best = sorted(scored.pieces, key=lambda piece: -piece.contribution)[:2]
    parts = ", ".join(f"{piece.text.strip()} {piece.contribution:+.2f}" for piece in best)
    return f"{scored.similarity:.2f}\n{parts}"


CONTENTS: dict[str, Callable[[], list[Panel]]] = {
    "01 Picture to picture (no downloads)": lambda: [pictures(5), words(_prompt(5)), drawn(_prompt(5))],
    "02 Picture to prompt (no downloads)": lambda: [pictures(0), words(_prompt(0))],
    "03 Best of eight (no downloads)": lambda: [pictures(7), words("\n".join(_best(7))), drawn(*_best(7))],
    "04 Style to prompt (no downloads)": lambda: [pictures(0, 1, 2, 3), words(_style((0, 1, 2, 3), 4))],
    "05 Style to pictures (no downloads)": lambda: [
        pictures(*GLOSSY),
        words(_style(GLOSSY, 4)),
        drawn(*(f"{subject} {_style(GLOSSY, 4)}" for subject in SUBJECTS)),
    ],
    "06 Mix two pictures (no downloads)": lambda: [
        pictures(5, 7),
        words(f"{_prompt(5, tokens=4)} {_prompt(7, tokens=4)}"),
        drawn(f"{_prompt(5, tokens=4)} {_prompt(7, tokens=4)}"),
    ],
    "07 Shorter prompts (no downloads)": lambda: [words(LONG), words(_shorter())],
    "08 How short will do (no downloads)": lambda: [
        words(LONG),
        drawn(LONG, *(_shorter(ratio) for ratio in RATIOS)),
    ],
    "09 Prompt score (no downloads)": lambda: [pictures(0), words(SCORED), words(_score())],
    "10 Picture to prompt (SD1.5)": lambda: [pictures(4), words(_prompt(4)), frame("SD1.5")],
    "11 Picture to prompt (SDXL)": lambda: [pictures(8), words(_prompt(8)), frame("SDXL")],
    "12 Style to prompt (SD1.5)": lambda: [
        pictures(12, 13, 14),
        words(f"a lighthouse {_style((12, 13, 14), 4)}"),
        frame("SD1.5"),
    ],
    "13 Negative prompt (SD1.5)": lambda: [
        pictures(9, crossed=True),
        words(f"not: {_negative(9, 10)}"),
        frame("SD1.5"),
    ],
    "14 Two pictures to prompt (SD1.5)": lambda: [
        pictures(5, 3),
        words(f"{_prompt(5, tokens=4)}, {_prompt(3, tokens=4)}"),
        frame("SD1.5"),
    ],
    "15 Shorter prompt (SD1.5)": lambda: [words(LONG), words(_shorter()), frame("SD1.5")],
    "16 Best of eight (SD1.5)": lambda: [pictures(4), words("\n".join(_texts(4)[:SHOWN])), frame("SD1.5")],
    "17 Best of eight (SDXL)": lambda: [pictures(8), words("\n".join(_texts(8)[:SHOWN])), frame("SDXL")],
    "18 Best of eight (Z-Image Turbo)": lambda: [
        pictures(11),
        words("\n".join(_texts(11)[:SHOWN])),
        frame("Z-Image"),
    ],
    "19 Classify texts (language model)": lambda: [
        words("a joy to watch: good\na dull, lazy film: bad"),
        words("{text} {prompt} It was {label}"),
        words("prompt, accuracy"),
    ],
}


if __name__ == "__main__":
    main()
