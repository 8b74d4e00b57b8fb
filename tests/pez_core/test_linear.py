"""Linear layers on frozen weights: the values and gradients of F.linear, whatever the number of rows."""

import pytest
import torch
import torch.nn.functional as F

from pez_core.linear import FEW_ROWS, frozen_linear


@pytest.mark.parametrize("rows", [1, FEW_ROWS, FEW_ROWS + 1, 300])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("biased", [True, False])
def test_values_and_gradients_are_those_of_the_library(rows, dtype, biased):
    generator = torch.Generator().manual_seed(rows)
    weight, bias = torch.randn(48, 32, generator=generator), torch.randn(48, generator=generator)
    weight, bias = weight.to(dtype), bias.to(dtype) if biased else None
    states = torch.randn(1, rows, 32, generator=generator).to(dtype)
    upstream = torch.randn(1, rows, 48, generator=generator).to(dtype)
    results = []
    for linear in (frozen_linear, F.linear):
        leaf = states.clone().requires_grad_(True)
        output = linear(leaf, weight, bias)
        (gradient,) = torch.autograd.grad(output, leaf, upstream)
        results.append((output, gradient))
    tolerance = 1e-4 if dtype == torch.float32 else 0.25
    for got, expected in zip(*results):
        assert torch.allclose(got, expected, atol=tolerance)
