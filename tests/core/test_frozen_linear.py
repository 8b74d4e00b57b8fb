"""Products with frozen weights: the values and gradients of torch's own, whatever the number of rows."""

import pytest
import torch
import torch.nn.functional as F

from pez_core.device.frozen_linear import frozen_linear, table_products


@pytest.mark.parametrize("rows", [1, 17, 300])
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


@pytest.mark.parametrize(("dtype", "close"), [(torch.float16, 2e-3), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("size", [1.0, 1e-9])
def test_wide_states_go_through_half_weights_and_small_gradients_survive(dtype, close, size):
    generator = torch.Generator().manual_seed(1)
    weight, bias = torch.randn(48, 32, generator=generator), torch.randn(48, generator=generator)
    states = torch.randn(1, 5, 32, generator=generator).requires_grad_(True)
    upstream = size * torch.randn(1, 5, 48, generator=generator)
    output = frozen_linear(states, weight.to(dtype), bias.to(dtype))
    (gradient,) = torch.autograd.grad(output, states, upstream)
    assert output.dtype == gradient.dtype == torch.float32
    expected = states @ weight.T + bias
    assert (output - expected).norm() < close * expected.norm()
    assert (gradient - upstream @ weight).norm() < close * (upstream @ weight).norm()


def test_a_gradient_of_nothing_is_nothing_through_half_weights():
    states = torch.ones(1, 2, 32).requires_grad_(True)
    output = frozen_linear(states, torch.ones(48, 32, dtype=torch.float16))
    (gradient,) = torch.autograd.grad(output, states, torch.zeros(1, 2, 48))
    assert torch.equal(gradient, torch.zeros(1, 2, 32))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_table_is_multiplied_in_full_precision(dtype):
    generator = torch.Generator().manual_seed(0)
    table, vectors = torch.randn(200, 32, generator=generator).to(dtype), torch.randn(9, 32, generator=generator)
    products = table_products(table, vectors)
    assert products.dtype == torch.float32
    assert torch.allclose(products, table.float() @ vectors.T, atol=1e-4)
