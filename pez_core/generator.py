"""The embedded generator: a small diffusion model that draws the miniature world from token states of its CLIP.

Rectified flow (Liu et al. 2022) on pixels. A network reads which drawings of its memory a text calls for, and on which
background; what it recalls is their mean by those shares. The pictures of a text are that drawing, a little shifted and
stretched, on a background that is a little off: three numbers and a colour, of which a noisy picture tells more the
less noisy it is. So the denoiser needs no network of its own: the likeliest placement, given the noisy picture, is
found by Gauss and Newton.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FILE = "generator.safetensors"
SIZE, PATCH = 64, 8
GRID = SIZE // PATCH
SCALE = 0.4
RECALLED = 16
SHIFT, STRETCH, TINT = 1.0, 0.02, 0.04
ROUNDS = 2
NUDGE = 0.5
WINDOW, CLEARLY = 9, 1.5
WIDEST = 10


@dataclass(frozen=True)
class GeneratorShape:
    """Widths of the network, and the size of its memory: every concept is there in every style, `grounds` are the
    backgrounds, and `colours` and `shades` are how many components a patch has of colour and transparency."""

    context: int = 192
    colours: int = 36
    shades: int = 14
    queries: int = 4
    hidden: int = 448
    concepts: int = 1291
    styles: int = 4
    grounds: int = 12


class Patches(nn.Module):
    """Principal components of square patches: (B, C, 64, 64) to coefficients (B, K, 8, 8) and back."""

    mean: Tensor
    basis: Tensor

    def __init__(self, channels: int, components: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels * PATCH**2))
        self.register_buffer("basis", torch.zeros(channels * PATCH**2, components))

    def coefficients(self, pictures: Tensor) -> Tensor:
        patches = F.pixel_unshuffle(pictures, PATCH) - self.mean.view(1, -1, 1, 1)
        return F.conv2d(patches, self.basis.t()[..., None, None])

    def pictures(self, coefficients: Tensor) -> Tensor:
        patches = F.conv2d(coefficients, self.basis[..., None, None]) + self.mean.view(1, -1, 1, 1)
        return F.pixel_shuffle(patches, PATCH)

    def outstanding(self, rest: Tensor, noise: Tensor) -> Tensor:
        """Of differences between pictures (B, C, 64, 64), what can be no noise of deviation (B, 1, 1, 1), in these
        components: nothing where the square around a place is not clearly larger than noise is (Wiener's filter)."""
        around = F.avg_pool2d(rest.square().mean(1, keepdim=True), WINDOW, 1, WINDOW // 2, count_include_pad=False)
        share = (1 - CLEARLY * noise.square() / around.clamp(min=1e-12)).clamp(min=0)
        found = F.conv2d(F.pixel_unshuffle(rest, PATCH), self.basis.t()[..., None, None])
        return share * F.pixel_shuffle(F.conv2d(found, self.basis[..., None, None]), PATCH)


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


@dataclass(frozen=True)
class Reading:
    """What a text calls for: logits of the concepts (B, N), of the styles (B, M) and of the backgrounds (B, G)."""

    concepts: Tensor
    styles: Tensor
    grounds: Tensor

    def drawings(self) -> Tensor:
        """The share (B, N · M) of every drawing of the memory, a concept's styles beside each other."""
        concepts, styles = self.concepts.softmax(1), self.styles.softmax(1)
        return (concepts[:, :, None] * styles[:, None]).flatten(1)


class Reader(nn.Module):
    """What token states (B, L, C) call for."""

    def __init__(self, shape: GeneratorShape) -> None:
        super().__init__()
        read = shape.queries * shape.context
        self.queries = nn.Parameter(torch.randn(1, shape.queries, shape.context))
        self.attention = Attention(shape.context, shape.context, 6)
        self.into = nn.Sequential(nn.LayerNorm(read), nn.Linear(read, shape.hidden), nn.GELU())
        self.blocks = nn.ModuleList([_block(shape.hidden, shape.hidden) for _ in range(2)])
        self.norm = nn.LayerNorm(shape.hidden)
        self.concepts = nn.Linear(shape.hidden, shape.concepts)
        self.styles = nn.Linear(shape.hidden, shape.styles)
        self.grounds = nn.Linear(shape.hidden, shape.grounds)

    def forward(self, context: Tensor, mask: Tensor) -> Reading:
        states = self.into(self.attention(self.queries.expand(len(context), -1, -1), context, mask).flatten(1))
        for block in self.blocks:
            states = states + block(states)
        states = self.norm(states)
        return Reading(self.concepts(states), self.styles(states), self.grounds(states))


def _block(width: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, out), nn.GELU())


@dataclass(frozen=True)
class Drawn:
    """A drawing as it is laid on its background: premultiplied colours above black and opacity (B, 4, 64, 64), and the
    background (B, 3), above black too; black is 0 and white 2 · SCALE."""

    ink: Tensor
    background: Tensor

    def placed(self, placement: Tensor) -> Tensor:
        """Pictures (B, 3, 64, 64), in −SCALE to SCALE, at placements (B, 6), in standard deviations: shift to the right
        and down, stretch, and how far the background is off in red, green and blue."""
        return self._laid(self._moved(placement), placement)

    def with_slopes(self, placement: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures (B, 3 · 64 · 64) at placements (B, 6), and how they change with each number (B, 6, 3 · 64 · 64)."""
        slopes = []
        for nudge in torch.eye(6, device=placement.device, dtype=placement.dtype)[:3] * NUDGE:
            change = self.placed(placement + nudge) - self.placed(placement - nudge)
            slopes.append(change / (2 * NUDGE))
        ink = self._moved(placement)
        through = TINT * (1 - ink[:, 3:])
        slopes += [F.pad(through, (0, 0, 0, 0, channel, 2 - channel)) for channel in range(3)]
        return self._laid(ink, placement).flatten(1), torch.stack(slopes, 1).flatten(2)

    def _moved(self, placement: Tensor) -> Tensor:
        across, down, stretch = placement[:, :3].unbind(1)
        scale, none = 1 + STRETCH * stretch, torch.zeros_like(across)
        rows = [scale, none, -across * SHIFT * 2 / SIZE, none, scale, -down * SHIFT * 2 / SIZE]
        grid = F.affine_grid(torch.stack(rows, 1).view(-1, 2, 3), [len(placement), 4, SIZE, SIZE], align_corners=False)
        return F.grid_sample(self.ink, grid, align_corners=False)

    def _laid(self, ink: Tensor, placement: Tensor) -> Tensor:
        ground = self.background + TINT * placement[:, 3:]
        return ink[:, :3] + (1 - ink[:, 3:]) * ground[..., None, None] - SCALE


class Generator(nn.Module):
    """Pictures (B, 3, 64, 64), in −SCALE to SCALE, from noise and token states (B, L, C) whose padding is zero.

    It knows the drawings of `memory` (N · M, K, 8, 8), in units of `step` (K,); the backgrounds of `palette` (G, 3),
    above black; and by `light` (M, G) how light a drawing in one colour is on each of them, for every style.
    """

    memory: Tensor
    step: Tensor
    palette: Tensor
    light: Tensor

    def __init__(self, shape: GeneratorShape = GeneratorShape()) -> None:
        super().__init__()
        self.shape = shape
        components = shape.colours + shape.shades
        self.colour_patches, self.shade_patches = Patches(3, shape.colours), Patches(1, shape.shades)
        drawings = torch.zeros(shape.concepts * shape.styles, components, GRID, GRID, dtype=torch.int8)
        self.register_buffer("memory", drawings)
        self.register_buffer("step", torch.ones(components))
        self.register_buffer("palette", torch.zeros(shape.grounds, 3))
        self.register_buffer("light", torch.zeros(shape.styles, shape.grounds))
        self.context_norm = nn.LayerNorm(shape.context)
        self.reader = Reader(shape)

    def memorise(self, colours: Tensor, opacity: Tensor) -> None:
        """Keep drawings, a concept's styles beside each other: premultiplied colours (N · M, 3, 64, 64) in −SCALE to
        SCALE, and opacity (N · M, 1, 64, 64)."""
        coefficients = torch.cat(
            [self.colour_patches.coefficients(colours), self.shade_patches.coefficients(opacity)], 1
        )
        flat = coefficients.transpose(0, 1).flatten(1)
        self.step.copy_(torch.minimum(flat.abs().amax(1), WIDEST * flat.std(1)).clamp(min=1e-6) / 127)
        self.memory.copy_((coefficients / self.step.view(1, -1, 1, 1)).round().clamp(-127, 127))

    def read(self, context: Tensor) -> Reading:
        """What the text calls for. Of token states that are all zeros the first counts."""
        text = context.abs().amax(-1) > 0
        text[:, 0] = True
        reading: Reading = self.reader(self.context_norm(context), text[:, None, None, :])
        return reading

    def drawn(self, context: Tensor) -> Drawn:
        """The drawing that the text calls for, and its background."""
        reading = self.read(context)
        shares, places = reading.drawings().topk(RECALLED)
        shares = shares / shares.sum(1, keepdim=True)
        recalled = torch.einsum("bn,bnkhw->bkhw", shares, self.memory[places].to(shares.dtype))
        recalled = recalled * self.step.view(1, -1, 1, 1)
        colours, shades = recalled[:, : self.shape.colours], recalled[:, self.shape.colours :]
        opaque = self.shade_patches.pictures(shades).clamp(0, 1)
        grounds = reading.grounds.softmax(1)
        light = (reading.styles.softmax(1) @ self.light * grounds).sum(1)
        ink = self.colour_patches.pictures(colours) + SCALE + 2 * SCALE * opaque * light[:, None, None, None]
        return Drawn(torch.cat([ink.clamp(0, 2 * SCALE), opaque], 1), grounds @ self.palette)

    def forward(self, x: Tensor, timesteps: Tensor, context: Tensor, **_: Any) -> Tensor:
        """The flow, noise less picture, of noisy pictures `x` at times (B,), from 1 for noise alone to 0.

        What no noise can be, as in a picture that was there before, stays.
        """
        times = timesteps.view(-1, 1, 1, 1).clamp(min=1e-3)
        drawn = self.drawn(context)
        picture = drawn.placed(likeliest(drawn, x, times))
        another = self.colour_patches.outstanding(x - (1 - times) * picture, times) / (1 - times).clamp(min=1e-3)
        return (x - picture - another) / times


def likeliest(drawn: Drawn, noisy: Tensor, times: Tensor) -> Tensor:
    """The likeliest placement (B, 6), in standard deviations, of what is in noisy pictures (B, 3, 64, 64) at times
    (B, 1, 1, 1): the least squares of noise and placement together, by Gauss and Newton's method."""
    placement = noisy.new_zeros(len(noisy), 6)
    share, noise = (1 - times).flatten(1), times.flatten(1)
    for _ in range(ROUNDS):
        picture, slopes = drawn.with_slopes(placement)
        moved = (slopes * placement[..., None]).sum(1)
        left = noisy.flatten(1) - share * (picture - moved)
        scaled = slopes * (share / noise)[..., None]
        curvature = scaled @ scaled.mT + torch.eye(6, device=noisy.device, dtype=noisy.dtype)
        pull = (scaled @ (left / noise)[..., None])[..., 0]
        placement = torch.linalg.solve(curvature, pull).clamp(-3, 3)
    return placement
