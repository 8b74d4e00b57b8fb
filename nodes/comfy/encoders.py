"""From what is connected to a node to an Encoder of pez_core, and from the learned text to CONDITIONING."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from comfy_execution.graph import ExecutionBlocker
from torch import Tensor

from ...pez_core import Encoder, PezError, conditioning_encoder
from ...pez_core.encoders.clip_vocabulary import ClipVocabulary
from ...pez_core.encoders.conditioning import CONDITIONING, POOLED
from ...pez_core.encoders.encoder import picture_features
from ...pez_core.encoders.joint import JointTower, side_by_side
from ...pez_core.encoders.tower import TextTower, unit
from .clip_tower import ComfyTower, conditioning_tower
from .text_projection import NO_FILE, is_missing, read_projection

ImageFeatures = Callable[[Sequence[Tensor]], Tensor]
TOKENIZER_KEYS = {"clip_g": "g", "clip_h": "h", "clip_l": "l"}
LOADER = "an encoder from Load PEZ Encoder"
MISSING_CLIP = f"clip is not connected; connect a CLIP, or {LOADER}."


def picture_encoder(
    clip: Any, visions: Sequence[Any], encoder: Encoder | None, projection_file: str | None, hidden: Any
) -> Encoder:
    """The connected PEZ_ENCODER, else the towers of `clip` that belong to the vision models: both together for SDXL.

    The CLIP is not loaded here but when its text is first read: the vision models are loaded before that, and may evict
    it.

    Raises PezError when something is not connected, the widths do not match, or a text projection is missing.
    """
    if encoder is not None:
        return encoder
    if clip is None:
        raise PezError(MISSING_CLIP)
    models = _clip_models(clip)
    visions = list({id(vision): vision for vision in visions if vision is not None}.values())
    if not visions:
        raise PezError(f"clip_vision is not connected; connect the CLIP_VISION that belongs to the CLIP, or {LOADER}.")
    names = [_matching(models, vision) for vision in visions]
    if len(set(names)) < len(names):
        raise PezError(f"clip_vision and clip_vision_2 both belong to {names[0]}; leave one of them out.")
    towers = [_projected(clip, name, models[name], projection_file, hidden, len(names) == 1) for name in names]

    def image_features(pictures: Sequence[Tensor]) -> Tensor:
        return side_by_side([unit(_image_features(vision, pictures)) for vision in visions])

    return _encoder(clip, towers, _vocabulary(clip, names[0]), image_features)


def picture_reader(clip_vision: Any, encoder: Encoder | None) -> Callable[[Sequence[Tensor]], Tensor]:
    """Unit features (N, F) of pictures by the connected PEZ_ENCODER, or else by the vision model; no text is read.

    Raises PezError when neither is connected.
    """
    if encoder is not None:
        return encoder.encode_images
    if clip_vision is None:
        raise PezError(f"clip_vision is not connected; connect any CLIP_VISION, or {LOADER}.")
    return lambda pictures: picture_features(partial(_image_features, clip_vision), pictures)


def text_encoder(clip: Any, encoder: Encoder | None, hidden: Any, mode: str = POOLED) -> Encoder:
    """The connected PEZ_ENCODER, else all CLIP towers of `clip`, by their pooled features or their token states.

    Text is compared with text, so a tower whose text projection is missing is used without it.
    """
    if encoder is not None:
        return conditioning_encoder(encoder) if mode == CONDITIONING else encoder
    if clip is None:
        raise PezError(MISSING_CLIP)
    models = _clip_models(clip)
    device = clip.patcher.load_device
    towers = []
    for name, model in models.items():
        projected = not is_missing(_projection(model), hidden.prompt, hidden.unique_id)
        towers.append(ComfyTower(model, name, device, projected=projected))
    encoder = _encoder(clip, towers, _vocabulary(clip, towers[0].name), _no_pictures)
    if mode == POOLED:
        return encoder
    shortest = min(tower.context_length for tower in towers)
    states = [conditioning_tower(tower, models[tower.name], clip.layer_idx, shortest) for tower in towers]
    return replace(encoder, tower=_together(states))


def _encoder(
    clip: Any, towers: Sequence[ComfyTower], vocabulary: ClipVocabulary, image_features: ImageFeatures
) -> Encoder:
    @contextmanager
    def held() -> Iterator[None]:
        with ExitStack() as all_held:
            for tower in towers:
                all_held.enter_context(tower.held())
            yield

    return Encoder(_together(towers), vocabulary, image_features, partial(_bring, clip), held)


def _bring(clip: Any) -> None:
    """Load the CLIP, and see that the weights are those that its LoRAs make."""
    clip.load_model()
    if clip.patcher.model.current_weight_patches_uuid != clip.patcher.patches_uuid:
        raise PezError("clip has other weights than its LoRAs make, since another model took its place; run it again.")


def _projected(clip: Any, name: str, model: Any, projection_file: str | None, hidden: Any, alone: bool) -> ComfyTower:
    """A tower that brings text to pictures, by its own projection or the file's.

    Of several towers the file serves those that lack a projection; a tower alone takes the file that was chosen.
    """
    weight = _projection(model)
    missing = is_missing(weight, hidden.prompt, hidden.unique_id)
    chosen = projection_file not in (None, "", NO_FILE)
    if missing and not chosen:
        raise PezError(
            f"clip has no text_projection for {name}, as in SD1.5 checkpoints; choose a full CLIP model file of width "
            f"{weight.shape[1]} as projection_file, such as OpenAI's clip-vit-large-patch14, or load the CLIP from it."
        )
    own = None
    if chosen and (missing or alone):
        own = read_projection(str(projection_file), weight.shape[1])
    return ComfyTower(model, name, clip.patcher.load_device, own)


def _together(towers: Sequence[TextTower]) -> TextTower:
    return towers[0] if len(towers) == 1 else JointTower(towers)


def _matching(models: dict[str, Any], clip_vision: Any) -> str:
    vision_width = _vision_width(clip_vision)
    for name, model in models.items():
        if _projection(model).shape[0] == vision_width:
            return name
    widths = ", ".join(f"{name} ({_projection(model).shape[0]})" for name, model in models.items())
    raise PezError(
        f"clip_vision gives features of width {vision_width}, but clip has {widths}; "
        "connect ViT-L for clip_l (768), ViT-H for clip_h (1024) or ViT-bigG for clip_g (1280)."
    )


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
        parts = [name for name, part in clip.cond_stage_model.named_children() if hasattr(part, "transformer")]
        raise PezError(
            f"clip holds no CLIP text encoder but {' and '.join(parts) or 'another'}; connect {LOADER} instead, or a "
            "CLIP that has CLIP-L, CLIP-H or CLIP-G."
        )
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
