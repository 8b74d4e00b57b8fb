"""Train the embedded generator, which draws from the token states of the embedded CLIP.

    python -m training.generator --packages node_modules --work generator --out pez_core/embedded

First the recall is trained alone, on drawings as layers; then it is frozen. The rest learns to place what is recalled,
a little shifted and stretched, on backgrounds off their named colour: how far pictures are from the expected one, and
then the denoiser. A denoiser of the drawings themselves was tried: it took what the recall had forgotten of them for
noise, and drew noise. A caption that names no colour goes with a white background. Checkpoints and the rendered
drawings are kept in `--work`; run it again to go on after a break.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from pez_core import Encoder, load_encoder
from pez_core.device.choice import best_device
from pez_core.drawing import token_states
from pez_core.generator import FILE, PATCH, SCALE, SIZE, Generator, Layers, Patches, preconditioning
from training.captions import COLOUR_NAMES, COLOURS, STYLE_NAMES, encode, sample_caption, sentence
from training.drawings import Drawings, load_drawings
from training.pictures import SEEN_JITTER, named_backgrounds

SEED = 4
DURATION = "Takes about 100 minutes on one CPU core; run it again to go on after a break."

CAPTIONS_PER_DRAWING = 16
LONGEST = 22
INSET = 4
EMPTY_SHARE = 0.1
SHIFT, STRETCH = 2.0, 0.04
DARK = 0.35
CHECKPOINT_EVERY = 500
WHITE = COLOUR_NAMES.index("white")
NAMED = torch.tensor([COLOURS[name] for name in COLOUR_NAMES]) / 255
STENCIL = STYLE_NAMES.index("stencil")


@dataclass(frozen=True)
class Phase:
    """A part of the training, with one cycle of the learning rate."""

    name: str
    steps: int
    batch: int
    learning_rate: float


RECALL = Phase("recall", 14_000, 192, 1.2e-3)
DOUBT = Phase("doubt", 1_000, 96, 2e-3)
DENOISER = Phase("denoiser", 4_000, 64, 1.2e-3)


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


def shifted(drawings: Tensor, generator: torch.Generator) -> Tensor:
    """Drawings a little shifted and stretched."""
    count = len(drawings)
    scale = 1 + STRETCH * (2 * torch.rand(count, generator=generator) - 1)
    shift = (2 * torch.rand(count, 2, generator=generator) - 1) * SHIFT / (SIZE / 2)
    matrix = torch.cat([torch.eye(2) * scale[:, None, None], shift[..., None]], 2)
    grid = F.affine_grid(matrix, [count, 4, SIZE, SIZE], align_corners=False)
    return F.grid_sample(drawings, grid, align_corners=False)


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


def recall_loss(model: Generator, pool: Pool, targets: Layers, batch: int, generator: torch.Generator) -> Tensor:
    device = model.spread.device
    states, drawing, colour = pool.draw(batch, generator)
    layers, _ = model.layers(*model.read(states.to(device)))
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


@torch.no_grad()
def placed(model: Generator, pool: Pool, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Token states, and coefficients (B, K, 8, 8) of pictures as a sampler should draw them: what is recalled, a little
    shifted and stretched, on a background that is a little off."""
    device = model.spread.device
    states, drawing, colour = pool.draw(batch, generator)
    states = states.to(device)
    layers, _ = model.layers(*model.read(states))
    ink = model.colour_patches.pictures(layers.colours) / SCALE / 2 + 0.5
    recalled = torch.cat([ink, model.shade_patches.pictures(layers.shades)], 1).clamp(0, 1).cpu()
    background = named_backgrounds(colour, generator, SEEN_JITTER)
    shown = pictures(shifted(recalled, generator), drawing % len(STYLE_NAMES), background)
    return states, model.colour_patches.coefficients(shown.to(device))


def doubt_loss(model: Generator, pool: Pool, batch: int, generator: torch.Generator) -> Tensor:
    """How unlikely pictures are where they are normal around the expected ones, with the error that is told."""
    states, clean = placed(model, pool, batch, generator)
    expected = model.expected(*model.read(states))
    return (expected.error.log() + 0.5 * ((clean - expected.picture.detach()) / expected.error).square()).mean()


def denoiser_loss(model: Generator, pool: Pool, batch: int, generator: torch.Generator) -> Tensor:
    states, clean = placed(model, pool, batch, generator)
    time_ = torch.sigmoid(torch.randn(batch, generator=generator) * 1.3 - 1.3).clamp(0.005, 0.999).to(clean.device)
    with torch.no_grad():
        context, mask = model.read(states)
        expected = model.expected(context, mask)
    times = time_.view(-1, 1, 1, 1)
    noise = torch.randn(clean.shape, generator=generator).to(clean.device)
    residual = (1 - times) * (clean - expected.picture) + times * noise
    into, keep, scale = preconditioning(times, expected.error)
    found = model.denoise(residual * into, time_, expected, context, mask)
    wanted = (clean - expected.picture - keep * residual) / scale
    weight = expected.error / expected.error.mean()
    return (weight * (found - wanted).square().clamp(max=100)).mean()


@torch.no_grad()
def measure_error(model: Generator, pool: Pool, generator: torch.Generator) -> None:
    """How far expected pictures are from those to be drawn, component by component."""
    errors = []
    for _ in range(16):
        states, clean = placed(model, pool, 128, generator)
        errors.append((model.expected(*model.read(states)).picture - clean).square().mean((0, 2, 3)))
    model.error.copy_(torch.stack(errors).mean(0).sqrt().clamp(min=1e-3))


class Trainer:
    """A phase with its optimiser, moving average and checkpoints."""

    def __init__(self, phase: Phase, model: Generator, parameters: list[nn.Parameter], work: Path) -> None:
        self.phase, self.model, self.parameters, self.path = phase, model, parameters, work / f"{phase.name}.pt"
        self.optimiser = torch.optim.AdamW(
            parameters, lr=phase.learning_rate, weight_decay=0.01, betas=(0.9, 0.98), fused=True
        )
        self.average = [parameter.detach().clone() for parameter in parameters]
        self.step = 0
        if self.path.exists():
            self._resume()

    def run(self, loss) -> None:
        """Train to the last step, and leave the moving average in the model. `loss` is of a batch and a generator."""
        generator = torch.Generator().manual_seed(SEED + self.step)
        start, recent = time.monotonic(), None
        while self.step < self.phase.steps:
            for group in self.optimiser.param_groups:
                group["lr"] = self.phase.learning_rate * self._rate()
            value = loss(self.phase.batch, generator)
            self.optimiser.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(self.parameters, 1.0)
            self.optimiser.step()
            self.step += 1
            self._follow()
            recent = value.item() if recent is None else 0.98 * recent + 0.02 * value.item()
            if self.step % 100 == 0:
                print(f"{self.phase.name} {self.step} {time.monotonic() - start:.0f} s  loss {recent:.4f}", flush=True)
            if self.step % CHECKPOINT_EVERY == 0 or self.step == self.phase.steps:
                self._checkpoint()
        with torch.no_grad():
            for parameter, mean in zip(self.parameters, self.average):
                parameter.copy_(mean)

    def _rate(self) -> float:
        along = self.step / self.phase.steps
        return min(1.0, (self.step + 1) / 100) * (0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * along)))

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
    first = [*model.context_norm.parameters(), *model.recall.parameters()]
    Trainer(RECALL, model, first, work).run(lambda batch, draws: recall_loss(model, pool, targets, batch, draws))
    measure_error(model, pool, generator)
    doubt = list(model.doubt.parameters())
    Trainer(DOUBT, model, doubt, work).run(lambda batch, draws: doubt_loss(model, pool, batch, draws))
    second = list(model.denoiser.parameters())
    Trainer(DENOISER, model, second, work).run(lambda batch, draws: denoiser_loss(model, pool, batch, draws))
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
