"""Train the embedded generator, which draws from the token states of the embedded CLIP.

    python -m training.generator --packages node_modules --work generator --out pez_core/embedded

What is trained is the recall, from captions to drawings as layers. A caption that names no colour goes with a white
background. Checkpoints and the rendered drawings are kept in `--work`; run it again to go on after a break.

A denoiser that was trained, around the recalled picture, was tried in two ways. One of the drawings themselves took
what the recall had forgotten for noise, and drew noise; one of recalled drawings, shifted and stretched, drew them
with noise at the edges after as many steps as there was time for. What it had to learn is six numbers, which
`pez_core.generator.likeliest` finds.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from pez_core import Encoder, load_encoder
from pez_core.device.choice import best_device
from pez_core.drawing import token_states
from pez_core.generator import FILE, PATCH, SCALE, SIZE, Generator, Layers, Patches
from training.captions import COLOUR_NAMES, COLOURS, STYLE_NAMES, encode, sample_caption, sentence
from training.drawings import Drawings, load_drawings

SEED = 4
DURATION = "Takes about 75 minutes on one CPU core; run it again to go on after a break."

CAPTIONS_PER_DRAWING = 16
LONGEST = 22
INSET = 4
EMPTY_SHARE = 0.1
DARK = 0.35
STEPS, BATCH, LEARNING_RATE = 14_000, 192, 1.2e-3
WARM_UP_STEPS, LAST_SHARE = 100, 0.02
CHECKPOINT_EVERY = 500
WHITE = COLOUR_NAMES.index("white")
NAMED = torch.tensor([COLOURS[name] for name in COLOUR_NAMES]) / 255
STENCIL = STYLE_NAMES.index("stencil")


@dataclass(frozen=True)
class Pool:
    """Captions by their token states (N, L, C), fp16, with the drawing (N,) and the background (N,) that each is of;
    `empty` (1, L, C) are those of no text."""

    states: Tensor
    drawing: Tensor
    colour: Tensor
    empty: Tensor

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Token states of some captions, a few of them emptied, with their drawings and colours; all on the CPU."""
        rows = torch.randint(len(self.states), (count,), generator=generator)
        states = self.states[rows].float()
        states[torch.rand(count, generator=generator) < EMPTY_SHARE] = self.empty.float()
        longest = int(states.abs().amax((0, 2)).nonzero().max()) + 1
        return states[:, :longest], self.drawing[rows], self.colour[rows]


def make_pool(encoder: Encoder, drawings: Drawings, concepts: list[int], rng: random.Random) -> Pool:
    """Captions of every drawing: the plain sentence, and others of all kinds."""
    rows, drawing, colour = [], [], []
    for place, concept in enumerate(concepts):
        for style, style_name in enumerate(STYLE_NAMES):
            for number in range(CAPTIONS_PER_DRAWING):
                background = rng.randrange(len(COLOUR_NAMES))
                ids, named = _caption(
                    drawings.concepts[concept], style_name, COLOUR_NAMES[background], number == 0, rng
                )
                rows.append(ids[:LONGEST])
                drawing.append(place * len(STYLE_NAMES) + style)
                colour.append(background if named else WHITE)
    chunks = [token_states(encoder, rows[start : start + 512], LONGEST).half() for start in range(0, len(rows), 512)]
    return Pool(
        torch.cat(chunks), torch.tensor(drawing), torch.tensor(colour), token_states(encoder, [()], LONGEST).half()
    )


def _caption(concept, style: str, colour: str, plain: bool, rng: random.Random) -> tuple[tuple[int, ...], bool]:
    if plain:
        return encode(sentence(concept.name, style, colour)), True
    caption = sample_caption(concept, style, colour, rng, False, rng.random() < 0.7)
    return caption.ids, caption.names_colour


def canonical(pixels: Tensor) -> Tensor:
    """Drawings (N, 4, H, W), 8-bit and premultiplied, in one place and size: (N, 4, 64, 64) in 0 to 1."""
    inner = SIZE - 2 * INSET
    parts = [
        F.interpolate(part.float() / 255, size=(inner, inner), mode="bilinear", antialias=True, align_corners=False)
        for part in pixels.split(512)
    ]
    return F.pad(torch.cat(parts), [INSET] * 4).clamp(0, 1)


def lit(style: Tensor, background: Tensor) -> Tensor:
    """Which drawings (N, 1) are white instead of black: stencils on dark backgrounds."""
    return ((style == STENCIL) & (background.mean(1) < DARK)).float()[:, None]


def pictures(drawings: Tensor, style: Tensor, background: Tensor) -> Tensor:
    """Drawings (N, 4, 64, 64) on backgrounds (N, 3), in −SCALE to SCALE."""
    ink = drawings[:, :3] + lit(style, background)[..., None, None] * drawings[:, 3:]
    return (2 * (ink + (1 - drawings[:, 3:]) * background[..., None, None]) - 1) * SCALE


def fit_patches(patches: Patches, samples: Tensor) -> Tensor:
    """Set the components from pictures, and return the standard deviation of each coefficient."""
    flat = F.pixel_unshuffle(samples, PATCH).permute(0, 2, 3, 1).reshape(-1, len(patches.mean))
    patches.mean.copy_(flat.mean(0))
    values, vectors = torch.linalg.eigh(torch.cov((flat - patches.mean).T))
    patches.basis.copy_(vectors.flip(1)[:, : patches.basis.shape[1]])
    return values.flip(0)[: patches.basis.shape[1]].clamp(min=1e-8).sqrt()


def prepare(model: Generator, drawings: Tensor, generator: torch.Generator) -> None:
    """The model's components: of drawings by themselves and on backgrounds, and of their transparency."""
    style = torch.arange(len(drawings)) % len(STYLE_NAMES)
    background = NAMED[torch.randint(len(NAMED), (len(drawings),), generator=generator)]
    ink = (2 * drawings[:, :3] - 1) * SCALE
    colours = fit_patches(model.colour_patches, torch.cat([ink, pictures(drawings, style, background)]))
    model.spread.copy_(torch.cat([colours, fit_patches(model.shade_patches, drawings[:, 3:])]))


def weighted(error: Tensor, spread: Tensor) -> Tensor:
    """Squared error of coefficients (B, K, 8, 8), in which coarse components count more, as they spread more."""
    return (error.square() / (spread * spread[0]).view(1, -1, 1, 1)).mean()


def recall_loss(model: Generator, pool: Pool, targets: Layers, generator: torch.Generator) -> Tensor:
    device = model.spread.device
    states, drawing, colour = pool.draw(BATCH, generator)
    layers = model.layers(states.to(device))
    background = NAMED[colour]
    light = lit(drawing % len(STYLE_NAMES), background).to(device)
    background = background.to(device)
    colours, shades = model.spread.split([model.shape.colours, model.shape.shades])
    return (
        weighted(layers.colours - targets.colours[drawing].to(device).float(), colours)
        + 0.5 * weighted(layers.shades - targets.shades[drawing].to(device).float(), shades)
        + (layers.background - (2 * background - 1) * SCALE).square().mean() / SCALE**2
        + 0.1 * (layers.light - light).square().mean()
    )


class Trainer:
    """The generator with its optimiser, moving average and checkpoints."""

    def __init__(self, model: Generator, path: Path) -> None:
        self.model, self.parameters, self.path = model, list(model.parameters()), path
        self.optimiser = torch.optim.AdamW(self.parameters, weight_decay=0.01, betas=(0.9, 0.98), fused=True)
        self.average = [parameter.detach().clone() for parameter in self.parameters]
        self.step = 0
        if path.exists():
            self._resume()

    def run(self, loss: Callable[[torch.Generator], Tensor]) -> None:
        """Train to the last step, and leave the moving average in the model. `loss` is of a batch that is drawn."""
        generator = torch.Generator().manual_seed(SEED + self.step)
        start, recent = time.monotonic(), None
        while self.step < STEPS:
            for group in self.optimiser.param_groups:
                group["lr"] = LEARNING_RATE * self._rate()
            value = loss(generator)
            self.optimiser.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(self.parameters, 1.0)
            self.optimiser.step()
            self.step += 1
            self._follow()
            recent = value.item() if recent is None else 0.98 * recent + 0.02 * value.item()
            if self.step % 100 == 0:
                print(f"{self.step} {time.monotonic() - start:.0f} s  loss {recent:.4f}", flush=True)
            if self.step % CHECKPOINT_EVERY == 0 or self.step == STEPS:
                self._checkpoint()
        with torch.no_grad():
            for parameter, mean in zip(self.parameters, self.average):
                parameter.copy_(mean)

    def _rate(self) -> float:
        falling = 0.5 + 0.5 * math.cos(math.pi * self.step / STEPS)
        return min(1.0, (self.step + 1) / WARM_UP_STEPS) * (LAST_SHARE + (1 - LAST_SHARE) * falling)

    def _follow(self) -> None:
        keep = min(0.998, self.step / (self.step + 10))
        with torch.no_grad():
            torch._foreach_mul_(self.average, keep)
            torch._foreach_add_(self.average, self.parameters, alpha=1 - keep)

    def _checkpoint(self) -> None:
        state = {
            "model": self.model.state_dict(), "optimiser": self.optimiser.state_dict(), "average": self.average,
            "step": self.step,
        }  # fmt: skip
        partial = self.path.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(self.path)

    def _resume(self) -> None:
        state = torch.load(self.path, weights_only=True, map_location=self.model.spread.device)
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average, self.step = state["average"], state["step"]


def train(packages: Path, work: Path, out: Path, device: str) -> None:
    """Train from the last checkpoint in `work`, or from the start, and write the generator to `out`."""
    torch.manual_seed(SEED)
    work.mkdir(parents=True, exist_ok=True)
    rendered = load_drawings(packages, work / "drawings.npy")
    concepts = [place for place, concept in enumerate(rendered.concepts) if not concept.held_out]
    drawings = canonical(rendered.pixels[concepts].flatten(0, 1))
    model, generator = Generator(), torch.Generator().manual_seed(SEED)
    prepare(model, drawings, generator)
    pool = make_pool(load_encoder(), rendered, concepts, random.Random(SEED))
    targets = Layers(
        _coefficients(model.colour_patches, (2 * drawings[:, :3] - 1) * SCALE),
        _coefficients(model.shade_patches, drawings[:, 3:]),
        torch.empty(0), torch.empty(0),
    )  # fmt: skip
    model.to(device)
    Trainer(model, work / "generator.pt").run(lambda draws: recall_loss(model, pool, targets, draws))
    out.mkdir(parents=True, exist_ok=True)
    save_file({name: value.half().cpu().contiguous() for name, value in model.state_dict().items()}, out / FILE)


def _coefficients(patches: Patches, samples: Tensor) -> Tensor:
    return torch.cat([patches.coefficients(part).half() for part in samples.split(512)])


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m training.generator", description=__doc__.splitlines()[0], epilog=DURATION
    )
    parser.add_argument("--packages", type=Path, required=True, help="node_modules with the npm packages")
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints and the rendered drawings")
    parser.add_argument("--out", type=Path, required=True, help="folder for the generator")
    parser.add_argument("--device", default=str(best_device()))
    arguments = parser.parse_args()
    train(arguments.packages, arguments.work, arguments.out, arguments.device)


if __name__ == "__main__":
    main()
