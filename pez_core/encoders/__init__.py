"""Models that read texts and pictures into one space. A new kind is a module here, and a line in LOADERS."""

from collections.abc import Callable, Sequence

import torch

from ..errors import PezError
from .embedded import EMBEDDED, load_embedded
from .encoder import Encoder
from .open_clip import load_open_clip

Loader = Callable[[str, str | None, str | torch.device], Encoder | None]
LOADERS: Sequence[Loader] = (load_embedded, load_open_clip)


def load_encoder(model: str = EMBEDDED, pretrained: str | None = None, device: str | torch.device = "cpu") -> Encoder:
    """An open_clip model by name and pretrained tag or weights file; `embedded` is the small one that comes along.

    Raises PezError for an unknown model or tag, a missing or unreadable file, and text towers that are not CLIP's.
    """
    for load in LOADERS:
        if encoder := load(model, pretrained, device):
            return encoder
    raise PezError(f"model {model!r} is unknown; choose 'embedded' or a name that open_clip.list_models() gives.")
