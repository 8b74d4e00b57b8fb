"""A text tower, its vocabulary and its image side in one object."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..device.out_of_memory import in_parts
from ..errors import PezError
from ..vocabulary import Vocabulary
from .pictures import as_rgb
from .tower import TextTower, unit

PICTURES_TOGETHER = 16


@dataclass(frozen=True)
class Encoder:
    """What a task needs of a model: its text side, and features (N, F) of RGB pictures (H, W, 3) in the same space.

    `bring` makes the weights of the text side ready. Tasks call it before they read text: a host such as ComfyUI moves
    and patches weights, and encoding pictures may have taken them away. In the context that `held` gives they stay as
    they are then, fit for a search. `module` is the model itself, for such a host.
    """

    tower: TextTower
    vocabulary: Vocabulary
    image_features: Callable[[Sequence[Tensor]], Tensor]
    bring: Callable[[], None] = lambda: None
    held: Callable[[], AbstractContextManager[object]] = nullcontext
    module: nn.Module | None = None

    @property
    def name(self) -> str:
        return self.tower.name

    def encode_images(self, pictures: Sequence[Tensor]) -> Tensor:
        """Unit features (N, F) of pictures (H, W, 1, 3 or 4) with values 0 to 1, of any sizes; clear parts are white.

        Raises PezError for no pictures, empty ones and NaN.
        """
        return picture_features(self.image_features, pictures).to(self.tower.device)

    def encode_text(self, text: str) -> Tensor:
        """Unit features (1, F) of a text."""
        self.bring()
        return self.tower.encode_ids([self.vocabulary.encode(text)])


@torch.no_grad()
def picture_features(image_features: Callable[[Sequence[Tensor]], Tensor], pictures: Sequence[Tensor]) -> Tensor:
    """Unit features (N, F) of pictures by an image side, as `Encoder.encode_images` gives them, where that left them.

    Raises PezError for no pictures, empty ones and NaN.
    """
    rgb = [as_rgb(picture) for picture in pictures]
    if not rgb:
        raise PezError("pictures are missing; give at least one.")
    return unit(torch.cat(in_parts(image_features, rgb, PICTURES_TOGETHER)))
