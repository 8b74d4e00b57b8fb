"""Train the embedded generator, which draws from the token states of the embedded CLIP.

    python -m training.generator --packages node_modules --work generator --out pez_core/embedded

What is trained is the reader, from captions to the drawings of the memory that they call for. A caption that names no
colour goes with a white background; two captions in a row call for both their drawings. Checkpoints and the rendered
drawings are kept in `--work`; run it again to go on after a break.
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
from pez_core.generator import FILE, PATCH, SCALE, SIZE, Generator, Patches
from training.captions import COLOUR_NAMES, COLOURS, STYLE_NAMES, sample_caption
from training.drawings import Concept, load_drawings

SEED = 4
DURATION = "Takes about 20 minutes on two CPU cores; run it again to go on after a break."

STRAY_WORDS = (0, 0, 0, 0, 1, 2, 3, 4)
LONGEST = 20
INSET = 4
EMPTY_SHARE, PAIR_SHARE = 0.02, 0.25
DARK = 0.35
STEPS, BATCH, LEARNING_RATE = 7_000, 192, 1.2e-3
WARM_UP_STEPS, LAST_SHARE = 100, 0.02
CHECKPOINT_EVERY = 500
NAMED = torch.tensor([COLOURS[name] for name in COLOUR_NAMES]) / 255
WHITE = COLOUR_NAMES.index("white")
STENCIL = STYLE_NAMES.index("stencil")


@dataclass(frozen=True)
class Described:
    """A caption, and what it calls for: two drawings and two backgrounds, mostly one twice."""

    ids: tuple[int, ...]
    drawings: tuple[int, int]
    grounds: tuple[int, int]


@dataclass(frozen=True)
class Captions:
    """Captions of drawings, of which those of a concept, in all styles, stand beside each other; `words` are ids that
    may stray into them, as into learned prompts."""

    concepts: list[Concept]
    words: list[int]

    def draw(self, rng: random.Random) -> Described:
        """A caption of some kind, now and then of nothing or of two drawings in a row."""
        kind = rng.random()
        if kind < EMPTY_SHARE:
            drawing = rng.randrange(len(self.concepts) * len(STYLE_NAMES))
            return Described((), (drawing, drawing), (WHITE, WHITE))
        first = self._one(rng)
        if kind < 1 - PAIR_SHARE:
            return first
        second = self._one(rng)
        grounds = [ground for ground in (first.grounds[0], second.grounds[0]) if ground != WHITE] or [WHITE]
        return Described(first.ids + second.ids, (first.drawings[0], second.drawings[0]), (grounds[0], grounds[-1]))

    def _one(self, rng: random.Random) -> Described:
        place, style, ground = (rng.randrange(len(some)) for some in (self.concepts, STYLE_NAMES, COLOUR_NAMES))
        styled = rng.random() < 0.7
        caption = sample_caption(self.concepts[place], STYLE_NAMES[style], COLOUR_NAMES[ground], rng, False, styled)
        ids = list(caption.ids)
        for _ in range(rng.choice(STRAY_WORDS)):
            ids.insert(rng.randint(0, len(ids)), rng.choice(self.words))
        drawing, ground = place * len(STYLE_NAMES) + style, ground if caption.names_colour else WHITE
        return Described(tuple(ids[:LONGEST]), (drawing, drawing), (ground, ground))


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


def fit_patches(patches: Patches, samples: Tensor) -> None:
    """Set the components from pictures."""
    flat = F.pixel_unshuffle(samples, PATCH).permute(0, 2, 3, 1).reshape(-1, len(patches.mean))
    patches.mean.copy_(flat.mean(0))
    vectors = torch.linalg.eigh(torch.cov((flat - patches.mean).T)).eigenvectors
    patches.basis.copy_(vectors.flip(1)[:, : patches.basis.shape[1]])


def memorise(model: Generator, drawings: Tensor, generator: torch.Generator) -> None:
    """What the model knows: components, of drawings by themselves and on backgrounds and of their transparency, the
    drawings in these, the named backgrounds, and which styles are light on which of them."""
    style = torch.arange(len(drawings)) % len(STYLE_NAMES)
    background = NAMED[torch.randint(len(NAMED), (len(drawings),), generator=generator)]
    ink, opacity = (2 * drawings[:, :3] - 1) * SCALE, drawings[:, 3:]
    fit_patches(model.colour_patches, torch.cat([ink, pictures(drawings, style, background)]))
    fit_patches(model.shade_patches, opacity)
    model.memorise(ink, opacity)
    model.palette.copy_(2 * SCALE * NAMED)
    model.light.copy_(
        torch.cat([lit(torch.full((len(NAMED),), style), NAMED) for style in range(len(STYLE_NAMES))], 1).T
    )


def reading_loss(model: Generator, encoder: Encoder, captions: Captions, rng: random.Random) -> Tensor:
    drawn = [captions.draw(rng) for _ in range(BATCH)]
    states = token_states(encoder, [caption.ids for caption in drawn])
    reading = model.read(states.to(model.step.device))
    drawings, grounds = (torch.tensor([getattr(one, name) for one in drawn]) for name in ("drawings", "grounds"))
    return (
        _told(reading.concepts, drawings // len(STYLE_NAMES))
        + _told(reading.styles, drawings % len(STYLE_NAMES))
        + _told(reading.grounds, grounds)
    )


def _told(logits: Tensor, pairs: Tensor) -> Tensor:
    """Cross-entropy of logits (B, K) to shares of one half for each of two indices (B, 2)."""
    return F.cross_entropy(logits, F.one_hot(pairs, logits.shape[1]).float().mean(1).to(logits.device))


class Trainer:
    """The generator with its optimiser, moving average and checkpoints."""

    def __init__(self, model: Generator, path: Path) -> None:
        self.model, self.parameters, self.path = model, list(model.parameters()), path
        self.optimiser = torch.optim.AdamW(self.parameters, weight_decay=0.01, betas=(0.9, 0.98), fused=True)
        self.average = [parameter.detach().clone() for parameter in self.parameters]
        self.step = 0
        if path.exists():
            self._resume()

    def run(self, loss: Callable[[random.Random], Tensor]) -> None:
        """Train to the last step, and leave the moving average in the model. `loss` is of a batch that it draws."""
        rng = random.Random(SEED + self.step)
        start, recent = time.monotonic(), None
        while self.step < STEPS:
            for group in self.optimiser.param_groups:
                group["lr"] = LEARNING_RATE * self._rate()
            value = loss(rng)
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
        state = torch.load(self.path, weights_only=True, map_location=self.model.step.device)
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average, self.step = state["average"], state["step"]


def train(packages: Path, work: Path, out: Path, device: str) -> None:
    """Train from the last checkpoint in `work`, or from the start, and write the generator to `out`."""
    torch.manual_seed(SEED)
    work.mkdir(parents=True, exist_ok=True)
    rendered = load_drawings(packages, work / "drawings.npy")
    concepts = [place for place, concept in enumerate(rendered.concepts) if not concept.held_out]
    model, encoder = Generator(), load_encoder()
    memorise(model, canonical(rendered.pixels[concepts].flatten(0, 1)), torch.Generator().manual_seed(SEED))
    captions = Captions([rendered.concepts[place] for place in concepts], encoder.vocabulary.allowed_ids().tolist())
    model.to(device)
    Trainer(model, work / "generator.pt").run(lambda rng: reading_loss(model, encoder, captions, rng))
    out.mkdir(parents=True, exist_ok=True)
    weights = {name: value.cpu().contiguous() for name, value in model.state_dict().items()}
    save_file(
        {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}, out / FILE
    )


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
