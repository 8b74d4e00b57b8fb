"""ComfyUI's CLIP text towers, run on the weights that ComfyUI holds, differentiable in the input embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...pez_core import PezError
from ...pez_core.device.frozen_linear import frozen_linear
from ...pez_core.encoders.conditioning import ConditioningTower
from ...pez_core.encoders.tower import CausalTower
from ...pez_core.encoders.transformer import Block
from .held_weights import Held, cast_weights, compute_type, held_weights

HeldWeights = Mapping[nn.Module, Held]


class ComfyTower(CausalTower):
    """One CLIP tower of a loaded ComfyUI CLIP (`SDClipModel`).

    ComfyUI's own forward adds in place and wants all positions, so the layers' submodules are called here. Their
    weights may be inference tensors, half precision, quantised, patched or on another device. While they are `held`,
    products are taken with what is held; else every linear layer runs as ComfyUI runs it, and is asked again for its
    weight on the way back, so that autograd keeps none of them.

    `projection` (F, W) stands in for the tower's own; `projected` False leaves the pooled state as it is.
    """

    def __init__(
        self, model: Any, name: str, device: torch.device, projection: Tensor | None = None, projected: bool = True
    ) -> None:
        self.name = name
        self.start_id, self.end_id = model.special_tokens["start"], model.special_tokens["end"]
        self.pad_id = model.special_tokens["pad"]
        self._device = device
        self._transformer = model.transformer
        self._text = model.transformer.text_model
        self.context_length = len(self._text.embeddings.position_embedding.weight)
        self._projection = None if projection is None else projection.to(device, torch.float32)
        self._projected = projected
        self._held: dict[nn.Module, Held] = {}
        self.blocks = [_block(layer, self._held) for layer in self._text.encoder.layers]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the weights for the time of a search, cast once, where memory allows; the CLIP is to be loaded."""
        self._held.update(held_weights(self._types(), self._device))
        try:
            yield
        finally:
            self._held.clear()

    @property
    def capturable(self) -> bool:
        """ComfyUI's own layers may wait for the host; products with what is held do not."""
        return self._device.type == "cuda" and self._held.keys() == self._types().keys()

    def _types(self) -> dict[nn.Module, torch.dtype]:
        """The layers that a search reads, and the type that each is held in."""
        layers = [part for part in self._text.modules() if hasattr(part, "weight")]
        if self._projected and self._projection is None:
            layers.append(self._transformer.text_projection)
        products = compute_type(self._device)
        return {layer: torch.float32 if isinstance(layer, nn.LayerNorm) else products for layer in layers}

    @property
    def device(self) -> torch.device:
        return self._device

    @property
    def tables(self) -> Sequence[Tensor]:
        layer = self._text.embeddings.token_embedding
        if layer in self._held:
            return [self._held[layer].weight]
        table: Tensor = layer.weight
        if getattr(layer, "weight_function", ()):  # patched as it is read, as on low memory
            return [self.embed(torch.arange(len(table), device=table.device))]
        return [table.to(self._device)]

    @property
    def width(self) -> int:
        width: int = self._text.embeddings.token_embedding.weight.shape[1]
        return width

    def embed(self, ids: Tensor) -> Tensor:
        layer = self._text.embeddings.token_embedding
        if layer in self._held:
            return F.embedding(ids, self._held[layer].weight).float()
        embedded: Tensor = layer(ids, out_dtype=torch.float32)
        return embedded.to(self._device)

    def place(self, embedded: Tensor, first: int) -> Tensor:
        layer = self._text.embeddings.position_embedding
        table = self._held[layer].weight if layer in self._held else layer.weight
        return embedded + table[first : first + embedded.shape[1]].to(embedded.device, embedded.dtype)

    def final_norm(self, states: Tensor) -> Tensor:
        return _norm(self._text.final_layer_norm, self._held, states)

    def read(self, pooled: Tensor) -> Tensor:
        pooled = self.final_norm(pooled)
        if not self._projected:
            return pooled
        if self._projection is not None:
            return pooled @ self._projection.T
        return _linear(self._transformer.text_projection, self._held, pooled)


def conditioning_tower(tower: ComfyTower, model: Any, layer_idx: int | None, context_length: int) -> ConditioningTower:
    """`tower` by the token states that `CLIPTextEncode` would give, of the layer that Set CLIP Last Layer chose.

    Of towers side by side ComfyUI keeps as many states as the shortest has, hence `context_length`.
    """
    if model.enable_attention_masks:
        raise PezError(f"mode conditioning does not go with {tower.name}, which masks its padding; choose pooled.")
    default, default_idx, _ = model.options_default
    count = len(tower.blocks)
    if layer_idx is not None:
        default, default_idx = ("hidden", layer_idx) if abs(layer_idx) <= count else ("last", None)
    last = default == "last"
    layers = count if last else default_idx % count + 1
    normed = last or model.layer_norm_hidden_state
    return ConditioningTower(tower, layers, normed, context_length)


def _block(layer: Any, held: HeldWeights) -> Block:
    attention, mlp = layer.self_attn, layer.mlp

    def queries_keys_values(states: Tensor) -> Sequence[Tensor]:
        return [_linear(part, held, states) for part in (attention.q_proj, attention.k_proj, attention.v_proj)]

    def feed_forward(states: Tensor) -> Tensor:
        return _linear(mlp.fc2, held, mlp.activation(_linear(mlp.fc1, held, states)))

    return Block(
        heads=attention.heads,
        attention_norm=partial(_norm, layer.layer_norm1, held),
        queries_keys_values=queries_keys_values,
        attention_out=partial(_linear, attention.out_proj, held),
        mlp_norm=partial(_norm, layer.layer_norm2, held),
        mlp=feed_forward,
    )


class _FrozenLinear(torch.autograd.Function):
    """A linear layer of ComfyUI's whose weight is fetched anew for the backward pass instead of being saved."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, layer: nn.Module) -> Tensor:
        ctx.layer = layer
        output: Tensor = layer(states)
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        with cast_weights(ctx.layer, gradient.dtype, gradient.device) as (weight, _):
            return gradient @ weight, None


def _linear(layer: nn.Module, held: HeldWeights, states: Tensor) -> Tensor:
    if layer in held:
        return frozen_linear(states, held[layer].weight, held[layer].bias)
    output: Tensor = _FrozenLinear.apply(states, layer)
    return output


def _norm(layer: nn.LayerNorm, held: HeldWeights, states: Tensor) -> Tensor:
    if layer in held:
        return F.layer_norm(states, layer.normalized_shape, held[layer].weight, held[layer].bias, layer.eps)
    with cast_weights(layer, states.dtype, states.device) as (weight, bias):
        normalised = F.layer_norm(states, layer.normalized_shape, eps=layer.eps)
        return normalised * weight.clone() + bias
