"""The judges: CLIPs of the miniature world that no search climbs, with what is true of the pictures in their features.

`python -m training.judges` makes them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open
from torch import Tensor

from pez_core import Encoder
from pez_core.encoders.open_clip import load_encoder_folder

JUDGES = Path(__file__).parent / "data" / "judges"
TRUTH = "truth.safetensors"
ON_THE_WAY = ("residual", "wide")
FINAL = "final"


@dataclass(frozen=True)
class Truth:
    """A judge's mean features of drawings on several backgrounds: of every concept (C, F), and for each picture of its
    concept in every style (N, S, F), and of its drawing on every named background (N, B, F)."""

    concepts: Tensor
    styles: Tensor
    backgrounds: Tensor
    names: list[str]
    style_names: list[str]
    background_names: list[str]


@dataclass(frozen=True)
class Judge:
    """A CLIP with its features (N, F) of the pictures, and what is true of them."""

    name: str
    encoder: Encoder
    pictures: Tensor
    truth: Truth

    def similarity(self, text: str, picture: int) -> float:
        """Of a text to a picture."""
        return (self.encoder.encode_text(text)[0] @ self.pictures[picture]).item()

    def concept_rank(self, features: Tensor, concept: str) -> int:
        """The place of a concept among all of them, 1 for the first, by features (F,)."""
        by_concept = self.truth.concepts @ features
        return int((by_concept > by_concept[self.truth.names.index(concept)]).sum()) + 1

    def style(self, features: Tensor, picture: int) -> str:
        """The style in which the picture's concept is nearest to features (F,)."""
        return self.truth.style_names[int((self.truth.styles[picture] @ features).argmax())]

    def background(self, features: Tensor, picture: int) -> str:
        """The background on which the picture's drawing is nearest to features (F,)."""
        return self.truth.background_names[int((self.truth.backgrounds[picture] @ features).argmax())]


def load_judge(name: str, pictures: Sequence[Tensor], folder: Path = JUDGES) -> Judge:
    """The judge of that name, on the CPU, for the pictures that its truth was made of."""
    encoder = load_encoder_folder(folder / name, "cpu", name)
    with safe_open(folder / name / TRUTH, "pt") as file:
        features = (file.get_tensor(part).float() for part in ("concepts", "styles", "backgrounds"))
        names = (json.loads(file.metadata()[part]) for part in ("names", "styles", "backgrounds"))
        truth = Truth(*features, *names)
    return Judge(name, encoder, encoder.encode_images(pictures), truth)
