"""Products with frozen weights, for the few rows that a prompt has.

On a CPU such a product is bound by reading the weight. MKL packs the weight first; oneDNN takes it as it lies.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class _Linear(torch.autograd.Function):
    """states @ weight.T + bias, with a gradient for the states (N, D) alone; nothing but the weight is kept for it."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.weight = weight
        if _suits_onednn(states, weight):
            return _onednn(states, weight, bias)
        return F.linear(states.to(weight.dtype), weight, bias).to(states.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        weight = ctx.weight
        if _suits_onednn(gradient, weight):
            return _onednn(gradient, weight.T, None), None, None
        if gradient.dtype == weight.dtype:
            return gradient @ weight, None, None
        size = gradient.abs().amax(-1, keepdim=True).clamp(min=torch.finfo(gradient.dtype).tiny)
        return ((gradient / size).to(weight.dtype) @ weight).to(gradient.dtype) * size, None, None


def frozen_linear(states: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """states (B, L, D) @ weight (E, D) transposed + bias (E,), differentiable in the states.

    States of a wider type than the weight are multiplied in the weight's and given back in their own. Each row of a
    gradient is then brought to size 1 for the product, since gradients are smaller than fp16 can say.
    """
    flat: Tensor = _Linear.apply(states.reshape(-1, states.shape[-1]), weight, bias)
    return flat.view(*states.shape[:-1], -1)


def table_products(table: Tensor, vectors: Tensor) -> Tensor:
    """Products (V, N) of a table (V, D) with a few vectors (N, D), fp32, without a gradient."""
    table, vectors = table.float(), vectors.float()
    return _onednn(table, vectors, None) if _suits_onednn(vectors, table) else table @ vectors.T


def _suits_onednn(states: Tensor, weight: Tensor) -> bool:
    on_cpu = weight.device.type == "cpu" and weight.dtype == states.dtype == torch.float32
    return on_cpu and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]


def _onednn(states: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise(states, weight, bias, "none", [], "")
    return product
