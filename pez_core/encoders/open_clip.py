"""Models of open_clip: by name and weights, or from a folder."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from ..device.frozen_linear import frozen_linear
from ..errors import PezError
from .clip_vocabulary import ClipVocabulary
from .encoder import Encoder
from .pictures import as_pil
from .tower import CausalTower
from .transformer import Block

FILES = ("open_clip_config.json", "open_clip_model.safetensors")


class OpenClipTower(CausalTower):
    """The text tower of an open_clip model, on the model's own weights."""

    def __init__(self, model: nn.Module, name: str, start_id: int, end_id: int) -> None:
        """Raises PezError when the model's text tower is not CLIP's: causal, and pooled at its end token."""
        text: Any = getattr(model, "text", model)
        pool = getattr(text, "pool_type", getattr(text, "text_pool_type", None))
        mask = getattr(text, "attn_mask", None)
        layers = getattr(getattr(text, "transformer", None), "resblocks", ())
        plain = all(type(layer).__name__ == "ResidualAttentionBlock" for layer in layers)
        if pool != "argmax" or mask is None or not plain:
            raise PezError(f"model {name!r} has no CLIP text tower; choose one like ViT-L-14 or ViT-H-14.")
        self.name, self.start_id, self.end_id = name, start_id, end_id
        self.context_length = len(text.positional_embedding)
        self._text = text.requires_grad_(False).eval()
        self.blocks = [_open_clip_block(layer) for layer in layers]
        self.pad_id = getattr(text, "pad_id", 0)
        scale: Tensor | None = getattr(model, "logit_scale", None)
        if scale is not None:
            self.logit_scale = scale.exp().item()

    @property
    def tables(self) -> Sequence[Tensor]:
        return [self.embeddings]

    @property
    def embeddings(self) -> Tensor:
        """The token embedding table (V, D), the model's own memory."""
        table: Tensor = self._text.token_embedding.weight
        return table

    @property
    def width(self) -> int:
        return self.embeddings.shape[1]

    @property
    def capturable(self) -> bool:
        return self.device.type == "cuda"

    def place(self, embedded: Tensor, first: int) -> Tensor:
        positions = self._text.positional_embedding[first : first + embedded.shape[1]]
        states: Tensor = (embedded + positions).to(self._text.transformer.get_cast_dtype())
        return states

    def final_norm(self, states: Tensor) -> Tensor:
        normed: Tensor = self._text.ln_final(states)
        return normed

    def read(self, pooled: Tensor) -> Tensor:
        pooled, projection = self.final_norm(pooled), self._text.text_projection
        if projection is None:
            return pooled
        features: Tensor = projection(pooled) if isinstance(projection, nn.Module) else pooled @ projection
        return features


def _open_clip_block(layer: Any) -> Block:
    attention, mlp = layer.attn, layer.mlp

    def queries_keys_values(states: Tensor) -> Sequence[Tensor]:
        return frozen_linear(states, attention.in_proj_weight, attention.in_proj_bias).chunk(3, dim=-1)

    def attention_out(states: Tensor) -> Tensor:
        out: Tensor = layer.ls_1(frozen_linear(states, attention.out_proj.weight, attention.out_proj.bias))
        return out

    def feed_forward(states: Tensor) -> Tensor:
        hidden = mlp.gelu(frozen_linear(states, mlp.c_fc.weight, mlp.c_fc.bias))
        out: Tensor = layer.ls_2(frozen_linear(hidden, mlp.c_proj.weight, mlp.c_proj.bias))
        return out

    return Block(attention.num_heads, layer.ln_1, queries_keys_values, attention_out, layer.ln_2, feed_forward)


def load_open_clip(model: str, pretrained: str | None, device: str | torch.device) -> Encoder | None:
    """A model that open_clip knows, by its name and a pretrained tag or a weights file; None for other names.

    Raises PezError for an unknown tag, a missing or unreadable file, and text towers that are not CLIP's.
    """
    import open_clip

    if model not in open_clip.list_models():
        return None
    if not pretrained:
        raise PezError(
            f"pretrained is missing for model {model!r}; give a tag that open_clip knows, or a weights file."
        )
    if pretrained not in open_clip.list_pretrained_tags_by_model(model):
        _check_file(model, Path(pretrained))
    return _loaded(model, model, pretrained, device)


def load_encoder_folder(folder: Path, device: str | torch.device = "cpu", name: str | None = None) -> Encoder:
    """A model of one's own, from the folder that `training.train` wrote; it is called `name`, or as the folder is.

    Raises PezError when the folder lacks open_clip_config.json or open_clip_model.safetensors.
    """
    for file in FILES:
        if not (folder / file).is_file():
            raise PezError(f"model folder {str(folder)!r} has no {file}; choose a folder that training.train wrote.")
    return _loaded(f"local-dir:{folder}", name or folder.name, None, device)


def _loaded(source: str, model: str, pretrained: str | None, device: str | torch.device) -> Encoder:
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


def _check_file(model: str, path: Path) -> None:
    if not path.is_file():
        raise PezError(f"pretrained {str(path)!r} is neither a tag of model {model!r} nor a file; check its spelling.")
    if path.suffix != ".safetensors":
        raise PezError(f"pretrained {str(path)!r} is not a safetensors file; convert it, since others can run code.")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
