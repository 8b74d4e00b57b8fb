"""The picture of a run."""

import torch

from pez_core.report.curve import draw_curve


def test_it_is_an_rgb_picture_with_values_from_0_to_1():
    picture = draw_curve([0.1, 0.2, 0.2, 0.4], "0.400  red rocket")
    assert picture.shape == (360, 640, 3) and picture.dtype == torch.float32
    assert 0 <= picture.min() < 0.5 < picture.max() <= 1


def test_what_happened_changes_the_picture():
    rising, flat = draw_curve([0.1, 0.5, 0.9], ""), draw_curve([0.1, 0.1, 0.9], "")
    assert not torch.equal(rising, flat)


def test_any_caption_can_be_drawn():
    assert torch.isfinite(draw_curve([0.5], "$\\frac{$ 漢字 🚀 ^_ \\")).all()
