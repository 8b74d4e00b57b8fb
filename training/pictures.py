"""Drawings put on coloured backgrounds, shifted, scaled and turned: the pictures that the model sees."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from training.captions import COLOUR_NAMES, COLOURS, STYLE_NAMES

SIZE = 64
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711])
SEEN_JITTER = (0.0, 32.0)
UNSEEN_JITTER = (36.0, 48.0)


@dataclass(frozen=True)
class Sample:
    """Which drawings to show: indices of concept, style and background colour, each (N,).

    Where `unnamed` (N,) is True the background is any colour at all, and `colour` says nothing of it.
    """

    concept: Tensor
    style: Tensor
    colour: Tensor
    unnamed: Tensor | None = None


def compose(pixels: Tensor, sample: Sample, generator: torch.Generator, jitter: tuple[float, float]) -> Tensor:
    """Pictures (N, 3, 64, 64) in 0..1. The background is its named colour, off by `jitter` 8-bit steps in some channel.

    Training uses `SEEN_JITTER`; `UNSEEN_JITTER` gives backgrounds that no training picture of that colour has, and that
    unnamed backgrounds keep away from.
    """
    drawings = pixels[sample.concept, sample.style].float() / 255
    backgrounds = _named_backgrounds(sample.colour, generator, jitter)
    if sample.unnamed is not None:
        backgrounds = torch.where(sample.unnamed[:, None], _any_backgrounds(len(drawings), generator), backgrounds)
    stencil = (sample.style == STYLE_NAMES.index("stencil")).view(-1, 1, 1, 1)
    dark = (backgrounds.mean(1, keepdim=True) < 0.35)[..., None, None]
    ink = torch.where(stencil & dark, drawings[:, 3:], drawings[:, :3])
    drawings = _move(torch.cat([ink, drawings[:, 3:]], 1), generator)
    return drawings[:, :3] + (1 - drawings[:, 3:]) * backgrounds[..., None, None]


def normalise(pictures: Tensor) -> Tensor:
    """Pictures in 0..1 to what the image tower takes."""
    return (pictures - MEAN.view(3, 1, 1)) / STD.view(3, 1, 1)


def _any_backgrounds(count: int, generator: torch.Generator) -> Tensor:
    """Colours (count, 3) from the whole cube, less those that are unseen backgrounds of some named colour."""
    draws = torch.rand(count, 32, 3, generator=generator)
    distance = (draws[:, :, None] * 255 - _named_colours()).abs().amax(-1)
    low, high = UNSEEN_JITTER
    seen = ((distance < low) | (distance > high)).all(-1)
    return draws[torch.arange(count), seen.int().argmax(1)]


def _named_colours() -> Tensor:
    return torch.tensor([COLOURS[name] for name in COLOUR_NAMES], dtype=torch.float32)


def _named_backgrounds(colour: Tensor, generator: torch.Generator, jitter: tuple[float, float]) -> Tensor:
    named = _named_colours()[colour]
    direction = torch.rand(named.shape, generator=generator) * 2 - 1
    direction = direction / direction.abs().amax(1, keepdim=True)
    low, high = jitter
    strength = low + (high - low) * torch.rand(len(named), 1, generator=generator)
    jittered = named + direction * strength
    reflected = named - direction * strength
    outside = (jittered < 0) | (jittered > 255)
    return torch.where(outside, reflected, jittered).clamp(0, 255) / 255


def _move(drawings: Tensor, generator: torch.Generator) -> Tensor:
    count = len(drawings)
    scale = 0.72 + 0.26 * torch.rand(count, generator=generator)
    angle = (torch.rand(count, generator=generator) * 2 - 1) * 0.15
    shift = (torch.rand(count, 2, generator=generator) * 2 - 1) * (1.04 - scale)[:, None]
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    rotation = torch.stack([torch.stack([cos, sin], -1), torch.stack([-sin, cos], -1)], 1)
    offset = -(rotation @ shift[..., None])
    grid = F.affine_grid(torch.cat([rotation, offset], 2), [count, 4, SIZE, SIZE], align_corners=False)
    return F.grid_sample(drawings, grid, align_corners=False)
