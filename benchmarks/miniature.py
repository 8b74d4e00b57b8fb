"""The miniature world for benchmarks: what is searched on, the pictures, the judges and the generator."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from benchmarks import sheets
from benchmarks.judging import Judge, load_judge
from pez_core import Encoder, load_encoder
from pez_core.drawing import draw_texts, load_generator
from pez_core.generator import Generator

DATA = Path(__file__).parent / "data"
SEEDS = (101, 202, 303)


@dataclass(frozen=True)
class Miniature:
    """The embedded models, pictures (H, W, 3) that no other benchmark shows, with their facts and features (N, F), and
    the judges, of which the last one tells what is named and matched."""

    encoder: Encoder
    pixels: list[Tensor]
    facts: list[dict]
    features: Tensor
    judges: list[Judge]
    generator: Generator

    @property
    def judge(self) -> Judge:
        return self.judges[-1]

    def drawn(self, prompt: str) -> list[Tensor]:
        """A picture (H, W, 3) of the prompt by each seed."""
        return drawn(self.generator, self.encoder, prompt)


def load_miniature(judges: Sequence[str]) -> Miniature:
    encoder, sheet = load_encoder(), sheets.read(DATA, "worth")
    loaded = [load_judge(name, sheet.pixels) for name in judges]
    return Miniature(encoder, sheet.pixels, sheet.facts, encoder.encode_images(sheet.pixels), loaded, load_generator())


def drawn(generator: Generator, encoder: Encoder, prompt: str) -> list[Tensor]:
    """A picture (H, W, 3) of the prompt by each seed."""
    return [draw_texts(generator, encoder, [prompt], seed)[0] for seed in SEEDS]


def share(matches: Iterable[bool]) -> float:
    """How many of them are true, as a share."""
    found = list(matches)
    return sum(found) / len(found)
