"""The small model that comes along."""

from pathlib import Path

import torch

from ..errors import PezError
from .encoder import Encoder
from .open_clip import load_encoder_folder

EMBEDDED = "embedded"
FOLDER = Path(__file__).parents[1] / "embedded"


def load_embedded(model: str, pretrained: str | None, device: str | torch.device) -> Encoder | None:
    """The embedded model; None for other names. Raises PezError where weights are asked for: it has its own."""
    if model != EMBEDDED:
        return None
    if pretrained:
        raise PezError(f"pretrained {pretrained!r} does not go with the embedded model; name another model.")
    return load_encoder_folder(FOLDER, device, EMBEDDED)
