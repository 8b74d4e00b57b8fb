"""A text tower, its vocabulary and its image side in one object; open_clip models by name."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from .errors import PezError
from .objectives import unit
from .out_of_memory import in_parts
from .pictures import as_pil, as_rgb
from .tower import OpenClipTower, TextTower
from .vocabulary import ClipVocabulary, Vocabulary

EMBEDDED = "embedded"
PICTURES_TOGETHER = 16
EMBEDDED_FOLDER = Path(__file__).parent / "embedded"


def _nothing() -> None:
    """The weights of a model that stays where it is need not be brought."""


@dataclass(frozen=True)
class Encoder:
    """What a task needs of a model: its text side, and features (N, F) of RGB pictures (H, W, 3) in the same space.

    `bring` makes the weights of the text side ready. Tasks call it before they read text: a host such as ComfyUI moves
    and patches weights, and encoding pictures may have taken them away. `module` is the model itself, for such a host.
    """

    tower: TextTower
    vocabulary: Vocabulary
    image_features: Callable[[Sequence[Tensor]], Tensor]
    bring: Callable[[], None] = _nothing
    module: nn.Module | None = None

    @property
    def name(self) -> str:
        return self.tower.name

    @torch.no_grad()
    def encode_images(self, pictures: Sequence[Tensor]) -> Tensor:
        """Unit features (N, F) of pictures (H, W, 1, 3 or 4) with values 0 to 1, of any sizes; clear parts are white.

        Raises PezError for no pictures, empty ones and NaN.
        """
        rgb = [as_rgb(picture) for picture in pictures]
        if not rgb:
            raise PezError("pictures are missing; give at least one.")
        return unit(torch.cat(in_parts(self.image_features, rgb, PICTURES_TOGETHER))).to(self.tower.device)

    def encode_text(self, text: str) -> Tensor:
        """Unit features (1, F) of a text."""
        self.bring()
        return self.tower.encode_ids([self.vocabulary.encode(text)])


def load_encoder(model: str = EMBEDDED, pretrained: str | None = None, device: str | torch.device = "cpu") -> Encoder:
    """An open_clip model by name and pretrained tag or weights file; `embedded` is the small one that comes along.

    Raises PezError for an unknown model or tag, a missing or unreadable file, and text towers that are not CLIP's.
    """
    _check_choice(model, pretrained)
    return _open_clip_encoder(f"local-dir:{EMBEDDED_FOLDER}" if model == EMBEDDED else model, model, pretrained, device)


def load_encoder_folder(folder: Path, device: str | torch.device = "cpu") -> Encoder:
    """A model of one's own, from the folder that `training.train` wrote.

    Raises PezError when the folder lacks open_clip_config.json or open_clip_model.safetensors.
    """
    for name in ("open_clip_config.json", "open_clip_model.safetensors"):
        if not (folder / name).is_file():
            raise PezError(f"model folder {str(folder)!r} has no {name}; choose a folder that training.train wrote.")
    return _open_clip_encoder(f"local-dir:{folder}", folder.name, None, device)


def _open_clip_encoder(source: str, model: str, pretrained: str | None, device: str | torch.device) -> Encoder:
    import open_clip

    try:
        clip, _, preprocess = open_clip.create_model_and_transforms(source, pretrained=pretrained, device=device)
    except (RuntimeError, OSError, ValueError, KeyError, SafetensorError) as error:
        logging.getLogger(__name__).debug("open_clip could not load %s", model, exc_info=True)
        raise PezError(
            f"pretrained {pretrained!r} could not be loaded into model {model!r}: {_first_line(error)}."
        ) from error
    vocabulary = ClipVocabulary()
    tower = OpenClipTower(clip, model, vocabulary.start_id, vocabulary.end_id)

    def image_features(pictures: Sequence[Tensor]) -> Tensor:
        pixels = torch.stack([preprocess(as_pil(picture)) for picture in pictures])
        features: Tensor = clip.encode_image(pixels.to(tower.device))
        return features

    return Encoder(tower, vocabulary, image_features, module=clip)


def _check_choice(model: str, pretrained: str | None) -> None:
    import open_clip

    if model == EMBEDDED:
        if pretrained:
            raise PezError(f"pretrained {pretrained!r} does not go with the embedded model; name another model.")
        return
    if model not in open_clip.list_models():
        raise PezError(f"model {model!r} is unknown; choose 'embedded' or a name that open_clip.list_models() gives.")
    if not pretrained:
        raise PezError(
            f"pretrained is missing for model {model!r}; give a tag that open_clip knows, or a weights file."
        )
    if pretrained in open_clip.list_pretrained_tags_by_model(model):
        return
    path = Path(pretrained)
    if not path.is_file():
        raise PezError(f"pretrained {pretrained!r} is neither a tag of model {model!r} nor a file; check its spelling.")
    if path.suffix != ".safetensors":
        raise PezError(f"pretrained {pretrained!r} is not a safetensors file; convert it, since others can run code.")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
