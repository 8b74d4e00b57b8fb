"""From what is connected to a node to an Encoder of pez_core, and from the learned text to CONDITIONING."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch
from comfy_execution.graph import ExecutionBlocker
from torch import Tensor

from ..pez_core import Encoder, PezError
from ..pez_core.vocabulary import ClipVocabulary
from .clip_tower import ComfyTower
from .text_projection import NO_FILE, is_missing, read_projection

TOKENIZER_KEYS = {"clip_g": "g", "clip_h": "h", "clip_l": "l"}
MISSING_CLIP = "clip is not connected; connect a CLIP, or an encoder from Load PEZ Encoder."


def picture_encoder(
    clip: Any, clip_vision: Any, encoder: Encoder | None, projection_file: str | None, hidden: Any
) -> Encoder:
    """The connected PEZ_ENCODER, else the tower of `clip` that belongs to `clip_vision`.

    Raises PezError when something is not connected, the widths do not match, or the text projection is missing.
    """
    if encoder is not None:
        return encoder
    if clip is None:
        raise PezError(MISSING_CLIP)
    if clip_vision is None:
        raise PezError("clip_vision is not connected; connect the CLIP_VISION that belongs to the CLIP.")
    vision_width = _vision_width(clip_vision)
    models = _clip_models(clip)
    matching = [name for name, model in models.items() if _projection(model).shape[0] == vision_width]
    if not matching:
        widths = ", ".join(f"{name} ({_projection(model).shape[0]})" for name, model in models.items())
        raise PezError(
            f"clip_vision gives features of width {vision_width}, but clip has {widths}; "
            "connect ViT-L for clip_l (768), ViT-H for clip_h (1024) or ViT-bigG for clip_g (1280)."
        )
    name = matching[0]
    clip.load_model()
    weight = _projection(models[name])
    replacement = None
    if projection_file and projection_file != NO_FILE:
        replacement = read_projection(projection_file, weight.shape[1])
    elif is_missing(weight, hidden.prompt, hidden.unique_id):
        raise PezError(
            f"clip has no text_projection for {name}, as in SD1.5 checkpoints; choose a full CLIP model file of width "
            f"{weight.shape[1]} as projection_file, for example clip_l.safetensors, or load the CLIP from such a file."
        )
    tower = ComfyTower(models[name], name, clip.patcher.load_device, replacement)
    return Encoder(tower, _vocabulary(clip, name), lambda pictures: _image_features(clip_vision, pictures))


def text_encoder(clip: Any, encoder: Encoder | None, hidden: Any) -> Encoder:
    """The connected PEZ_ENCODER, else the widest CLIP tower of `clip`.

    Text is compared with text, so a tower whose text projection is missing is used without it.
    """
    if encoder is not None:
        return encoder
    if clip is None:
        raise PezError(MISSING_CLIP)
    name, model = next(iter(_clip_models(clip).items()))
    clip.load_model()
    projected = not is_missing(_projection(model), hidden.prompt, hidden.unique_id)
    tower = ComfyTower(model, name, clip.patcher.load_device, projected=projected)
    return Encoder(tower, _vocabulary(clip, name), _no_pictures)


def conditioning(clip: Any, text: str) -> Any:
    """The text encoded as CLIPTextEncode does it; without a CLIP, a blocker that says what to connect."""
    if clip is None:
        return ExecutionBlocker("conditioning needs a CLIP; connect one to the clip input of the PEZ node.")
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))


def _clip_models(clip: Any) -> dict[str, Any]:
    models = {name: getattr(clip.cond_stage_model, name, None) for name in TOKENIZER_KEYS}
    found = {
        name: model for name, model in models.items() if hasattr(getattr(model, "transformer", None), "text_model")
    }
    if not found:
        raise PezError("clip holds no CLIP text encoder; connect one from a model that has CLIP-L, CLIP-H or CLIP-G.")
    return found


def _projection(model: Any) -> Tensor:
    weight: Tensor = model.transformer.text_projection.weight
    return weight


def _vision_width(clip_vision: Any) -> int:
    projection = getattr(clip_vision.model, "visual_projection", None)
    if not hasattr(projection, "weight"):
        raise PezError("clip_vision is not a CLIP vision model; load ViT-L, ViT-H or ViT-bigG.")
    return int(projection.weight.shape[0])


def _vocabulary(clip: Any, name: str) -> ClipVocabulary:
    key = TOKENIZER_KEYS[name]

    def encode(text: str) -> list[int]:
        words = [token for window in clip.tokenize(text, return_word_ids=True)[key] for token in window if token[2]]
        ids = [token[0] for token in words if isinstance(token[0], int)]
        if len(ids) < len(words):
            logging.getLogger(__name__).warning("PEZ leaves out the embeddings in the prompt %r.", text)
        return ids

    return ClipVocabulary(encode)


def _image_features(clip_vision: Any, pictures: Sequence[Tensor]) -> Tensor:
    if len({picture.shape for picture in pictures}) == 1:
        batches = [torch.stack(list(pictures))]
    else:
        batches = [picture[None] for picture in pictures]
    return torch.cat([clip_vision.encode_image(batch).image_embeds for batch in batches])


def _no_pictures(pictures: Sequence[Tensor]) -> Tensor:
    raise PezError("clip reads no pictures; connect a clip_vision.")
