"""ComfyUI's CLIP text towers, run on the weights that ComfyUI holds, differentiable in the input embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import comfy.ops
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...pez_core import PezError
from ...pez_core.blocks import Block
from ...pez_core.conditioning import ConditioningTower
from ...pez_core.tower import CausalTower


class ComfyTower(CausalTower):
    """One CLIP tower of a loaded ComfyUI CLIP (`SDClipModel`).

    ComfyUI's own forward adds in place and wants all 77 positions, so the layers' submodules are called here. Their
    weights may be inference tensors, half precision, quantised, patched or on another device: every linear layer runs
    as ComfyUI runs it, and is asked again for its weight on the way back, so that autograd keeps none of them.

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
        self._projection = None if projection is None else projection.to(device, torch.float32)
        self._projected = projected
        self.blocks = [_block(layer) for layer in self._text.encoder.layers]

    @property
    def device(self) -> torch.device:
        return self._device

    @property
    def tables(self) -> Sequence[Tensor]:
        layer = self._text.embeddings.token_embedding
        table: Tensor = layer.weight
        if getattr(layer, "weight_function", ()):  # patched as it is read, as on low memory
            return [self.embed(torch.arange(len(table), device=table.device))]
        return [table.to(self._device)]

    @property
    def width(self) -> int:
        width: int = self._text.embeddings.token_embedding.weight.shape[1]
        return width

    def embed(self, ids: Tensor) -> Tensor:
        embedded: Tensor = self._text.embeddings.token_embedding(ids, out_dtype=torch.float32)
        return embedded.to(self._device)

    def place(self, embedded: Tensor, first: int) -> Tensor:
        positions = self._text.embeddings.position_embedding.weight[first : first + embedded.shape[1]]
        return embedded + positions.to(embedded.device, embedded.dtype)

    def final_norm(self, states: Tensor) -> Tensor:
        return _norm(self._text.final_layer_norm, states)

    def read(self, pooled: Tensor) -> Tensor:
        pooled = self.final_norm(pooled)
        if not self._projected:
            return pooled
        if self._projection is not None:
            return pooled @ self._projection.T
        return _linear(self._transformer.text_projection, pooled)


def conditioning_tower(tower: ComfyTower, model: Any, layer_idx: int | None) -> ConditioningTower:
    """`tower` by the token states that `CLIPTextEncode` would give, of the layer that Set CLIP Last Layer chose."""
    if model.enable_attention_masks:
        raise PezError(f"mode conditioning does not go with {tower.name}, which masks its padding; choose pooled.")
    default, default_idx, _ = model.options_default
    count = len(tower.blocks)
    if layer_idx is not None:
        default, default_idx = ("hidden", layer_idx) if abs(layer_idx) <= count else ("last", None)
    last = default == "last"
    layers = count if last else default_idx % count + 1
    normed = last or model.layer_norm_hidden_state
    return ConditioningTower(tower, layers, normed)


def _block(layer: Any) -> Block:
    attention, mlp = layer.self_attn, layer.mlp

    def queries_keys_values(states: Tensor) -> Sequence[Tensor]:
        return [_linear(layer, states) for layer in (attention.q_proj, attention.k_proj, attention.v_proj)]

    def feed_forward(states: Tensor) -> Tensor:
        return _linear(mlp.fc2, mlp.activation(_linear(mlp.fc1, states)))

    return Block(
        heads=attention.heads,
        attention_norm=partial(_norm, layer.layer_norm1),
        queries_keys_values=queries_keys_values,
        attention_out=partial(_linear, attention.out_proj),
        mlp_norm=partial(_norm, layer.layer_norm2),
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
        weight, _ = comfy.ops.cast_bias_weight(ctx.layer, gradient)
        return gradient @ weight, None


def _linear(layer: nn.Module, states: Tensor) -> Tensor:
    output: Tensor = _FrozenLinear.apply(states, layer)
    return output


def _norm(layer: nn.LayerNorm, states: Tensor) -> Tensor:
    weight, bias = comfy.ops.cast_bias_weight(layer, states)
    normalised = F.layer_norm(states, layer.normalized_shape, eps=layer.eps)
    return normalised * weight.clone() + bias
