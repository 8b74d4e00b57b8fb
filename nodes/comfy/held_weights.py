"""Weights of ComfyUI's layers: as ComfyUI casts them for one product, or cast once and held while a search runs."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import comfy.model_management
import comfy.ops
import torch
from comfy.model_management import VRAMState
from torch import Tensor, nn

from ...pez_core.device.frozen_linear import frozen_linear

CLOSE = {torch.float32: 1e-4, torch.float16: 5e-3, torch.bfloat16: 2e-2}


@dataclass(frozen=True)
class Held:
    """A layer's weight and bias, cast, moved and patched; the layer's own memory where possible."""

    weight: Tensor
    bias: Tensor | None


@contextmanager
def cast_weights(layer: nn.Module, dtype: torch.dtype, device: torch.device) -> Iterator[tuple[Tensor, Tensor | None]]:
    """A layer's weight and bias as ComfyUI casts, moves and patches them; they are valid within the block only."""
    if hasattr(comfy.ops, "uncast_bias_weight"):
        cast = comfy.ops.cast_bias_weight(layer, dtype=dtype, device=device, bias_dtype=dtype, offloadable=True)
        try:
            yield cast[:2]
        finally:
            comfy.ops.uncast_bias_weight(layer, *cast)
    else:
        yield comfy.ops.cast_bias_weight(layer, dtype=dtype, device=device, bias_dtype=dtype)


def compute_type(device: torch.device) -> torch.dtype:
    """The type of products: what ComfyUI keeps text encoders in, where the device computes in it, else fp32.

    Weights of 8 bits are meant to be small, not to be computed in.
    """
    wanted = comfy.model_management.text_encoder_dtype(device)
    if wanted.itemsize == 1:
        wanted = torch.float16
    able = {
        torch.float16: comfy.model_management.should_use_fp16,
        torch.bfloat16: comfy.model_management.should_use_bf16,
    }
    return wanted if wanted in able and able[wanted](device) else torch.float32


@torch.no_grad()
def held_weights(layers: Mapping[nn.Module, torch.dtype], device: torch.device) -> dict[nn.Module, Held]:
    """The weights of `layers`, each in its type; those that would have to be copied only where memory allows.

    Norms are always copied: they are small, and autograd saves no inference tensors. A linear layer that does more than
    a product with its weight is left out.
    """
    device = torch.empty(0, device=device).device  # with its number, as weights have it
    norms = {layer for layer in layers if isinstance(layer, nn.LayerNorm)}
    copied = {layer for layer, dtype in layers.items() if not _lies_ready(layer, dtype, device)} - norms
    needed = sum(layer.weight.numel() * layers[layer].itemsize for layer in copied)
    taken = dict(layers)
    if needed > _room(device):
        logging.getLogger(__name__).info("PEZ casts weights at every step: there is no room for %d bytes more.", needed)
        taken = {layer: dtype for layer, dtype in layers.items() if layer not in copied}
    held = {layer: _held(layer, dtype, device) for layer, dtype in taken.items()}
    return {layer: one for layer, one in held.items() if not hasattr(layer, "in_features") or _agrees(layer, one)}


def _room(device: torch.device) -> float:
    """Bytes that a search may take for copies. Whoever starts ComfyUI with little VRAM wants none of it taken."""
    short = comfy.model_management.vram_state in (VRAMState.NO_VRAM, VRAMState.LOW_VRAM)
    if short and device.type != "cpu":
        return 0
    free: float = comfy.model_management.get_free_memory(device)
    return free - comfy.model_management.minimum_inference_memory()


def _lies_ready(layer: nn.Module, dtype: torch.dtype, device: torch.device) -> bool:
    """Whether the weight that ComfyUI would give is the layer's own, as it lies."""
    patched = getattr(layer, "weight_function", ()) or getattr(layer, "bias_function", ())
    weight = layer.weight
    plain = type(weight) in (Tensor, nn.Parameter) and weight.dtype == dtype and weight.device == device
    return plain and not patched and not hasattr(layer, "_v") and not isinstance(layer, nn.LayerNorm)


def _held(layer: nn.Module, dtype: torch.dtype, device: torch.device) -> Held:
    if _lies_ready(layer, dtype, device):
        bias = getattr(layer, "bias", None)
        return Held(layer.weight.detach(), None if bias is None else bias.detach().to(device, dtype))
    with cast_weights(layer, torch.float32, device) as (weight, bias):
        return Held(_copy(weight, dtype), None if bias is None else _copy(bias, dtype))


def _copy(cast: Tensor, dtype: torch.dtype) -> Tensor:
    """ComfyUI may cast into memory that it uses again."""
    return cast.detach().to(dtype, copy=True)


def _agrees(layer: nn.Module, held: Held) -> bool:
    """Whether products with what is held are what the layer itself gives."""
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(1, 2, held.weight.shape[1], generator=generator).to(held.weight.device)
    expected = layer(states)
    difference = frozen_linear(states, held.weight, held.bias) - expected
    return bool(difference.norm() <= CLOSE[held.weight.dtype] * expected.norm())
