"""Draw icon.png and banner.png, which pyproject.toml names: a continuous path, and the words that it is projected onto.

python docs/drawings/draw.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).parent
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
SCALE = 4
NIGHT, PILL, INK, WHITE = (20, 22, 34), (38, 42, 61), (112, 121, 152), (255, 255, 255)
PATH = ((64, 224, 208), (143, 123, 255), (255, 107, 168))
ICON = (
    "------ -------- ------* -----",
    "--------- ------* ----- ------",
    "---- ------* -------- -----",
    "-----* -------- ---- -------",
)
BANNER = (
    "cat moon river glass tree soft paper gold cloud",
    "tiny window sea hat old bread helmet* with blue",
    "lamp round owl stone rescue* leaf kite drum warm",
    "fox night pink* sun grey ship sand rose bell in",
    "bird flat* fern wool dark ice the song field orange",
    "shiny* street on salt ring wave and feather clock",
)

Point = tuple[float, float]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Pill:
    """A word on the canvas: its centre and its size."""

    text: str
    x: float
    y: float
    width: float
    height: float
    found: bool


def laid_out(rows: Sequence[str], left: float, top: float, pitch: float, height: float) -> list[Pill]:
    """The words of each row side by side, from `left` on; those with a star are the ones that the path finds."""
    font, pills = ImageFont.truetype(FONTS / "DejaVuSans.ttf", 100), []
    for number, row in enumerate(rows):
        x = left + (-0.9, 0.1, -0.4)[number % 3] * height
        for word in row.split():
            text = word.rstrip("*")
            width = font.getlength(text) / 100 * height * 0.54 + height
            pills.append(Pill(text, x + width / 2, top + number * pitch, width, height, text != word))
            x += width + height * 0.4
    return pills


def curve(points: Sequence[Point], pieces: int = 80) -> list[Point]:
    """A smooth way through the points (Catmull and Rom)."""
    padded = [points[0], *points, points[-1]]
    way = []
    for corners in zip(padded, padded[1:], padded[2:], padded[3:]):
        for t in (piece / pieces for piece in range(pieces)):
            weights = (-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3)
            x, y = (sum(w * c for w, c in zip(weights, places)) / 2 for places in zip(*corners))
            way.append((x, y))
    return [*way, points[-1]]


def shade(place: float) -> Colour:
    """The colour of the path at `place`, from 0 to 1."""
    whole, part = divmod(min(place, 0.9999) * (len(PATH) - 1), 1)
    red, green, blue = (round(a + (b - a) * part) for a, b in zip(PATH[int(whole)], PATH[int(whole) + 1]))
    return red, green, blue


class Canvas:
    """A picture drawn larger than it is shown, so that its edges are smooth."""

    def __init__(self, width: int, height: int) -> None:
        self._size = (width, height)
        self._picture = Image.new("RGB", (width * SCALE, height * SCALE), NIGHT)
        self._draw = ImageDraw.Draw(self._picture)

    def write(self, text: str, left: float, baseline: float, size: float, colour: Colour, face: str) -> None:
        font = ImageFont.truetype(FONTS / f"{face}.ttf", round(size * SCALE))
        self._draw.text((left * SCALE, baseline * SCALE), text, colour, font, anchor="ls")

    def pill(self, pill: Pill, fill: Colour, ink: Colour) -> None:
        x, y, width, height = (SCALE * value for value in (pill.x, pill.y, pill.width / 2, pill.height / 2))
        self._draw.rounded_rectangle((x - width, y - height, x + width, y + height), radius=height, fill=fill)
        if not pill.text.startswith("-"):
            font = ImageFont.truetype(FONTS / "DejaVuSans.ttf", round(pill.height * SCALE * 0.54))
            self._draw.text((x, y), pill.text, ink, font, anchor="mm")

    def dot(self, point: Point, radius: float, colour: Colour) -> None:
        x, y, radius = point[0] * SCALE, point[1] * SCALE, radius * SCALE
        self._draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)

    def line(self, start: Point, end: Point, width: float, colour: Colour) -> None:
        ends = tuple(SCALE * value for value in (*start, *end))
        self._draw.line(ends, colour, round(width * SCALE))

    def path(self, pills: Sequence[Pill], steps: Sequence[Point], width: float) -> None:
        """The way up through `steps`, each so many pill heights away from the word that it is projected onto."""
        for pill in pills:
            self.pill(pill, PILL, INK)
        found = [pill for pill in reversed(pills) if pill.found]
        points = [(pill.x + dx * pill.height, pill.y + dy * pill.height) for pill, (dx, dy) in zip(found, steps)]
        way = curve(points)
        for number, (start, end) in enumerate(pairwise(way)):
            self.line(start, end, width, shade(number / len(way)))
            self.dot(end, width / 2, shade(number / len(way)))
        for number, (pill, point) in enumerate(zip(found, points)):
            colour = shade(number / (len(points) - 1))
            self.line(point, (pill.x, pill.y), width / 2, WHITE)
            self.pill(pill, colour, NIGHT)
            self.dot(point, 1.5 * width, WHITE)

    def save(self, path: Path) -> None:
        shown = self._picture.resize(self._size, Image.Resampling.LANCZOS)
        shown.quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)


def draw_icon(path: Path) -> None:
    canvas = Canvas(400, 400)
    pills = laid_out(ICON, 44, 84, 84, 44)
    canvas.path(pills, [(-0.3, -0.95), (-0.6, -0.95), (1.6, 0.95), (1.45, -1.0)], 11)
    canvas.save(path)


def draw_banner(path: Path) -> None:
    canvas = Canvas(1260, 540)
    pills = laid_out(BANNER, 520, 50, 88, 38)
    canvas.path(pills, [(-0.8, -1.15), (-0.8, -1.15), (1.6, 1.15), (-1.2, -1.15), (0.9, -1.15)], 6)
    canvas.write("PEZ", 64, 240, 112, WHITE, "DejaVuSans-Bold")
    canvas.write("Hard Prompts", 70, 300, 46, WHITE, "DejaVuSans-Bold")
    canvas.write("words that draw what you see", 70, 356, 25, INK, "DejaVuSans")
    canvas.save(path)


if __name__ == "__main__":
    draw_icon(HERE / "icon.png")
    draw_banner(HERE / "banner.png")
