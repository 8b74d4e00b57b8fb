"""The embedded generator: a small diffusion model that draws the miniature world from token states of its CLIP.

Rectified flow (Liu et al. 2022) in the space of picture patches. What a text calls for is recalled first, as two
layers: the drawing with its transparency, and the background. Denoising starts from that expected picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FILE = "generator.safetensors"
SIZE, PATCH = 64, 8
GRID = SIZE // PATCH
SCALE = 0.4
TIME_SHIFT = 0.3
FREQUENCIES = 64
GROUPS = 8


@dataclass(frozen=True)
class GeneratorShape:
    """Widths of the network; `colours` and `shades` are how many components a patch has of colour and transparency."""

    context: int = 192
    colours: int = 48
    shades: int = 16
    queries: int = 6
    hidden: int = 1216
    code: int = 40
    patch: int = 192
    embedding: int = 256
    channels: int = 48
    middle: int = 96
    doubt: int = 96


class Patches(nn.Module):
    """Principal components of square patches: (B, C, 64, 64) to coefficients (B, K, 8, 8) and back.

    `share` (B,) says how much of a picture is in what is noise for the rest: only so much of the mean is taken out.
    """

    mean: Tensor
    basis: Tensor

    def __init__(self, channels: int, components: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels * PATCH**2))
        self.register_buffer("basis", torch.zeros(channels * PATCH**2, components))

    def coefficients(self, pictures: Tensor, share: Tensor | None = None) -> Tensor:
        mean = self.mean.view(1, -1, 1, 1)
        patches = F.pixel_unshuffle(pictures, PATCH) - (mean if share is None else share.view(-1, 1, 1, 1) * mean)
        return F.conv2d(patches, self.basis.t()[..., None, None])

    def pictures(self, coefficients: Tensor) -> Tensor:
        patches = F.conv2d(coefficients, self.basis[..., None, None]) + self.mean.view(1, -1, 1, 1)
        return F.pixel_shuffle(patches, PATCH)


class Expected(NamedTuple):
    """The picture that a text calls for, in coefficients (B, K, 8, 8), how far pictures are from it (B, K, 8, 8), and
    an embedding (B, E) of the text."""

    picture: Tensor
    error: Tensor
    embedding: Tensor


@dataclass(frozen=True)
class Layers:
    """What a text calls for: coefficients of the drawing's premultiplied colours (B, K, 8, 8) and of its transparency
    (B, S, 8, 8), the background (B, 3) in −SCALE to SCALE, and how light (B, 1) a drawing in one colour is on it."""

    colours: Tensor
    shades: Tensor
    background: Tensor
    light: Tensor


class Attention(nn.Module):
    """Queries (B, N, Q) over token states (B, L, C); masked tokens are not seen."""

    def __init__(self, width: int, context: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.queries = nn.Linear(width, width, bias=False)
        self.keys_values = nn.Linear(context, 2 * width, bias=False)
        self.out = nn.Linear(width, width)

    def forward(self, states: Tensor, context: Tensor, mask: Tensor) -> Tensor:
        count, length, width = states.shape
        queries = self.queries(states).view(count, length, self.heads, -1).transpose(1, 2)
        keys, values = self.keys_values(context).view(count, context.shape[1], 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
        out: Tensor = self.out(seen.transpose(1, 2).reshape(count, length, width))
        return out


class Recall(nn.Module):
    """The layers that a text calls for, and an embedding (B, E) of it."""

    def __init__(self, shape: GeneratorShape) -> None:
        super().__init__()
        self.shape = shape
        read = shape.queries * shape.context
        self.queries = nn.Parameter(torch.randn(1, shape.queries, shape.context))
        self.attention = Attention(shape.context, shape.context, 6)
        self.into = nn.Sequential(nn.LayerNorm(read), nn.Linear(read, shape.hidden), nn.GELU())
        self.blocks = nn.ModuleList([_block(shape.hidden, shape.hidden) for _ in range(2)])
        self.norm = nn.LayerNorm(shape.hidden)
        self.codes = nn.Linear(shape.hidden, shape.code * GRID**2)
        self.places = nn.Parameter(torch.zeros(1, GRID**2, shape.patch))
        self.widen = nn.Linear(shape.code, shape.patch)
        self.patches = nn.ModuleList([_block(shape.patch, shape.patch) for _ in range(2)])
        self.neighbours = nn.Conv2d(shape.patch, shape.patch, 3, padding=1, groups=GROUPS)
        self.patch_out = nn.Linear(shape.patch, shape.colours + shape.shades)
        self.ground = nn.Linear(shape.hidden, 4)
        self.embedding = nn.Linear(shape.hidden, shape.embedding)

    def forward(self, context: Tensor, mask: Tensor) -> tuple[Layers, Tensor]:
        count = len(context)
        states = self.into(self.attention(self.queries.expand(count, -1, -1), context, mask).flatten(1))
        for block in self.blocks:
            states = states + block(states)
        states = self.norm(states)
        patches = self.widen(self.codes(states).view(count, GRID**2, self.shape.code)) + self.places
        first, second = self.patches
        patches = patches + first(patches)
        beside = self.neighbours(patches.transpose(1, 2).reshape(count, -1, GRID, GRID))
        patches = patches + beside.flatten(2).transpose(1, 2)
        patches = patches + second(patches)
        patches = self.patch_out(patches).transpose(1, 2).reshape(count, -1, GRID, GRID)
        colours, shades = patches.split([self.shape.colours, self.shape.shades], 1)
        ground = self.ground(states)
        return Layers(colours, shades, ground[:, :3], ground[:, 3:]), self.embedding(states)


def _block(width: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, out), nn.GELU())


class Doubt(nn.Module):
    """How far pictures are from the expected one, place by place: a factor (B, K, 8, 8) on what they are on average."""

    def __init__(self, shape: GeneratorShape) -> None:
        super().__init__()
        self.first = nn.Conv2d(shape.colours + shape.shades, shape.doubt, 3, padding=1)
        self.second = nn.Conv2d(shape.doubt, shape.colours, 1)

    def forward(self, components: Tensor) -> Tensor:
        found: Tensor = self.second(F.silu(self.first(components)))
        return found.clamp(-4, 3).exp()


class Residual(nn.Module):
    """Two convolutions around a shift and a scale that the embedding gives."""

    def __init__(self, width: int, out: int, embedding: int) -> None:
        super().__init__()
        self.norm, self.first = nn.GroupNorm(GROUPS, width), nn.Conv2d(width, out, 3, padding=1)
        self.modulation = nn.Linear(embedding, 2 * out)
        self.second_norm, self.second = nn.GroupNorm(GROUPS, out), nn.Conv2d(out, out, 3, padding=1)
        self.skip = nn.Conv2d(width, out, 1) if width != out else nn.Identity()
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, states: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.modulation(embedding)[..., None, None].chunk(2, 1)
        hidden = self.second_norm(self.first(F.silu(self.norm(states)))) * (1 + scale) + shift
        out: Tensor = self.skip(states) + self.second(F.silu(hidden))
        return out


class Cross(nn.Module):
    """Positions that look at the token states."""

    def __init__(self, width: int, context: int, positions: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, width)
        self.places = nn.Parameter(torch.randn(1, positions, width) * 0.02)
        self.attention = Attention(width, context, 4)
        nn.init.zeros_(self.attention.out.weight)

    def forward(self, states: Tensor, context: Tensor, mask: Tensor) -> Tensor:
        seen = self.attention(self.norm(states).flatten(2).transpose(1, 2) + self.places, context, mask)
        out: Tensor = states + seen.transpose(1, 2).reshape(states.shape)
        return out


class Denoiser(nn.Module):
    """What the noisy residual (B, K, 8, 8) to the expected picture was, at unit scale."""

    def __init__(self, shape: GeneratorShape) -> None:
        super().__init__()
        width, middle, embedding = shape.channels, shape.middle, shape.embedding
        self.time = nn.Sequential(nn.Linear(2 * FREQUENCIES, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.into = nn.Conv2d(2 * shape.colours, width, 3, padding=1)
        self.places = nn.Parameter(torch.zeros(1, width, GRID, GRID))
        self.down_blocks = nn.ModuleList([Residual(width, width, embedding) for _ in range(2)])
        self.cross = Cross(width, shape.context, GRID**2)
        self.down = nn.Conv2d(width, middle, 2, 2)
        self.middle_blocks = nn.ModuleList([Residual(middle, middle, embedding) for _ in range(3)])
        self.middle_cross = nn.ModuleList([Cross(middle, shape.context, GRID**2 // 4) for _ in range(2)])
        self.up = nn.Conv2d(middle, 4 * width, 1)
        self.up_blocks = nn.ModuleList([Residual(2 * width, width, embedding), Residual(width, width, embedding)])
        self.out_norm, self.out = nn.GroupNorm(GROUPS, width), nn.Conv2d(width, shape.colours, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(
        self, noisy: Tensor, expected: Tensor, time: Tensor, context: Tensor, mask: Tensor, embedding: Tensor
    ) -> Tensor:
        embedding = F.silu(self.time(_waves(time)) + embedding)
        states = self.into(torch.cat([noisy, expected], 1)) + self.places
        for block in self.down_blocks:
            states = block(states, embedding)
        states = kept = self.cross(states, context, mask)
        states = self.down(states)
        for block, cross in zip(self.middle_blocks, self.middle_cross):
            states = cross(block(states, embedding), context, mask)
        states = self.middle_blocks[-1](states, embedding)
        states = torch.cat([F.pixel_shuffle(self.up(states), 2), kept], 1)
        for block in self.up_blocks:
            states = block(states, embedding)
        out: Tensor = self.out(F.silu(self.out_norm(states)))
        return out


def _waves(time: Tensor) -> Tensor:
    steps = torch.arange(FREQUENCIES, device=time.device, dtype=time.dtype)
    angles = time[:, None] * 1000.0 * torch.exp(-math.log(1000) * steps / FREQUENCIES)
    return torch.cat([angles.cos(), angles.sin()], 1)


class Generator(nn.Module):
    """Pictures (B, 3, 64, 64), in −SCALE to SCALE, from noise and token states (B, L, C) whose padding is zero."""

    spread: Tensor
    error: Tensor

    def __init__(self, shape: GeneratorShape = GeneratorShape()) -> None:
        super().__init__()
        self.shape = shape
        self.colour_patches, self.shade_patches = Patches(3, shape.colours), Patches(1, shape.shades)
        self.register_buffer("spread", torch.ones(shape.colours + shape.shades))
        self.register_buffer("error", torch.ones(shape.colours))
        self.context_norm = nn.LayerNorm(shape.context)
        self.recall = Recall(shape)
        self.doubt = Doubt(shape)
        self.denoiser = Denoiser(shape)

    def read(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised token states, and which of them are text; the first is, as all may be zeros."""
        text = context.abs().amax(-1) > 0
        text[:, 0] = True
        return self.context_norm(context), text[:, None, None, :]

    def layers(self, context: Tensor, mask: Tensor) -> tuple[Layers, Tensor]:
        """What the text calls for, in the units of the patches, and its embedding."""
        found, embedding = self.recall(context, mask)
        colours, shades = torch.split(self.spread.view(1, -1, 1, 1), [self.shape.colours, self.shape.shades], 1)
        return Layers(found.colours * colours, found.shades * shades, found.background, found.light), embedding

    def expected(self, context: Tensor, mask: Tensor) -> Expected:
        """The picture that the text calls for, and how sure that is."""
        layers, embedding = self.layers(context, mask)
        picture = self.colour_patches.coefficients(self.composed(layers))
        components = torch.cat([picture, layers.shades], 1) / self.spread.view(1, -1, 1, 1)
        return Expected(picture, self.error.view(1, -1, 1, 1) * self.doubt(components), embedding)

    def composed(self, layers: Layers) -> Tensor:
        """The drawing on its background."""
        opaque = self.shade_patches.pictures(layers.shades)
        drawing = (
            self.colour_patches.pictures(layers.colours) + SCALE + 2 * SCALE * opaque * layers.light[..., None, None]
        )
        ground = layers.background[..., None, None] + SCALE
        return drawing + (1 - opaque) * ground - SCALE

    def clean(self, noisy: Tensor, time: Tensor, context: Tensor) -> Tensor:
        """Clean coefficients from noisy ones at times (B,), 1 for noise alone."""
        context, mask = self.read(context)
        expected, times = self.expected(context, mask), time.view(-1, 1, 1, 1)
        residual = noisy - (1 - times) * expected.picture
        into, keep, scale = preconditioning(times, expected.error)
        found = self.denoise(residual * into, time, expected, context, mask)
        return expected.picture + keep * residual + scale * found

    def denoise(self, scaled: Tensor, time: Tensor, expected: Expected, context: Tensor, mask: Tensor) -> Tensor:
        """What the denoiser makes of the scaled residual."""
        shown = expected.picture / self.spread[: self.shape.colours].view(1, -1, 1, 1)
        found: Tensor = self.denoiser(scaled, shown, time, context, mask, expected.embedding)
        return found

    def forward(self, x: Tensor, timesteps: Tensor, context: Tensor, **_: Any) -> Tensor:
        """The flow, noise less picture, of noisy pictures `x` at times (B,) in 0 to 1."""
        noisy = self.colour_patches.coefficients(x, 1 - timesteps)
        clean = self.colour_patches.pictures(self.clean(noisy, timesteps, context))
        return (x - clean) / timesteps.view(-1, 1, 1, 1).clamp(min=1e-3)


def preconditioning(times: Tensor, error: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What scales the denoiser's input, the residual itself, and the output to unit size (Karras et al. 2022)."""
    variance = (1 - times) ** 2 * error**2 + times**2
    return variance.rsqrt(), (1 - times) * error**2 / variance, times * error * variance.rsqrt()
