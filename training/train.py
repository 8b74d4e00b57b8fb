"""Train the embedded model.

    python -m training.train --packages node_modules --out model

`node_modules` holds the npm packages that training/README.md names. A small open_clip model learns from the drawings
with the contrastive loss of CLIP (Radford et al. 2021, section 2.3) and two additions. Classifier heads over concept,
style and background, shared by both towers and thrown away afterwards, give a sharper signal per picture than a batch
of 256 does. Nonsense captions, some of them made by the gradient against the very model that is trained, stand among
the negatives of every picture, so that a search over prompts finds words rather than noise. Later steps
show each concept in all styles side by side, so that style is what tells the captions of a batch apart.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pez_core.device.choice import best_device
from training.captions import COLOUR_NAMES, STYLE_NAMES, Caption, sample_caption, sample_nonsense, true_tokens
from training.drawings import Concept, Drawings, load_drawings
from training.pictures import MEAN, SEEN_JITTER, SIZE, STD, Sample, compose, normalise

BATCH = 256
LONG_BATCH = 64
NONSENSE = 64
ADVERSARIAL = 32
ADVERSARIAL_TOKENS = 8
ADVERSARIAL_VOCABULARY = 6000
LONG_EVERY = 8
WEIGHT_DECAY = 0.05
WARM_UP_STEPS = 50
CHECKPOINT_EVERY = 100
START, END = 49406, 49407
HEADS_WEIGHT = 0.5
LOG_SCALE_LIMIT = 4.0

VOCABULARY = 49408
PREPROCESS_CONFIG = {"mean": MEAN.tolist(), "std": STD.tolist(), "interpolation": "bicubic", "resize_mode": "shortest"}


@dataclass(frozen=True)
class Stage:
    """A cycle of the learning rate. After `plain_steps` each concept is shown in all styles side by side.

    `unnamed_share` of the backgrounds are any colour, which no caption names.
    """

    steps: int
    peak_learning_rate: float
    plain_steps: int
    background_jitter: tuple[float, float]
    unnamed_share: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """A model's towers, as open_clip's configuration names them, and how it is trained.

    Concepts that are held out are left out unless `every_concept`.
    """

    features: int
    vision: dict[str, Any]
    text: dict[str, int]
    seed: int
    stages: Sequence[Stage]
    every_concept: bool = False

    @property
    def config(self) -> dict[str, Any]:
        """What open_clip builds the model from."""
        vision = {"image_size": SIZE, "patch_size": None} | self.vision
        text = {"context_length": 77, "vocab_size": VOCABULARY} | self.text
        return {"embed_dim": self.features, "vision_cfg": vision, "text_cfg": text}


EMBEDDED = Recipe(
    features=256,
    vision={"layers": [1, 1, 2, 1], "width": 24},
    text={"width": 192, "heads": 3, "layers": 3},
    seed=20,
    stages=(
        Stage(2000, 2e-3, 1500, (0.0, 20.0)),
        Stage(320, 6e-4, 0, SEEN_JITTER),
        Stage(240, 6e-4, 0, SEEN_JITTER, 0.5),
    ),
)
SHORT = Stage(400, 2e-3, 300, (0.0, 20.0))


class Heads(nn.Module):
    """Linear classifiers of unit features, for concept, style and background; shared by pictures and captions."""

    def __init__(self, width: int, concepts: int) -> None:
        super().__init__()
        sizes = {"concept": concepts, "style": len(STYLE_NAMES), "colour": len(COLOUR_NAMES)}
        self.classifiers = nn.ModuleDict({name: nn.Linear(width, size) for name, size in sizes.items()})

    def loss(self, features: Tensor, sample: Sample, stated: dict[str, Tensor]) -> Tensor:
        total = features.new_zeros(())
        for name, classifier in self.classifiers.items():
            loss = F.cross_entropy(classifier(features * 16), getattr(sample, name), reduction="none")
            total = total + (loss * stated[name]).sum() / stated[name].sum().clamp(min=1)
        return total


def encode_tokens(model: nn.Module, captions: list[tuple[int, ...]]) -> Tensor:
    """Unit text features (N, F) of captions, padded to the longest of the batch only."""
    ids, ends = _pad(captions)
    return encode_embeddings(model, model.token_embedding(ids.to(model.positional_embedding.device)), ends)


def encode_embeddings(model: nn.Module, embeddings: Tensor, ends: Tensor) -> Tensor:
    """Unit text features (N, F) of token embeddings (N, L, D), pooled at the positions `ends` (N,)."""
    length = embeddings.shape[1]
    states = embeddings + model.positional_embedding[:length]
    states = model.ln_final(model.transformer(states, attn_mask=model.attn_mask[:length, :length]))
    pooled = states[torch.arange(len(states)), ends] @ model.text_projection
    return F.normalize(pooled, dim=-1)


def adversarial_captions(model: nn.Module, pictures: Tensor, true: list[set[int]], generator: torch.Generator) -> list:
    """One step of gradient-guided token choice (HotFlip) per picture, from random tokens, true words left out."""
    count = len(pictures)
    device = pictures.device
    random_ids = torch.randint(0, START, (count, ADVERSARIAL_TOKENS), generator=generator)
    ids = torch.cat([torch.full((count, 1), START), random_ids, torch.full((count, 1), END)], 1).to(device)
    embeddings = model.token_embedding(ids).detach().requires_grad_(True)
    ends = torch.full((count,), ADVERSARIAL_TOKENS + 1)
    similarity = (encode_embeddings(model, embeddings, ends) * pictures).sum()
    (gradient,) = torch.autograd.grad(similarity, embeddings)
    choice = torch.randint(0, START, (ADVERSARIAL_VOCABULARY,), generator=generator)
    with torch.no_grad():
        gain = gradient[:, 1:-1] @ model.token_embedding.weight[choice.to(device)].T
    found = choice[gain.argmax(-1).cpu()].tolist()
    return [
        tuple(new if new not in words else old for new, old in zip(row, before))
        for row, before, words in zip(found, random_ids.tolist(), true)
    ]


def training_loss(
    model: nn.Module,
    heads: Heads,
    pictures: Tensor,
    sample: Sample,
    captions: list[Caption],
    nonsense: list,
    true: list[set[int]],
    generator: torch.Generator,
) -> dict[str, Tensor]:
    device = pictures.device
    image = F.normalize(model.visual(normalise(pictures).to(memory_format=torch.channels_last)), dim=-1)
    count = len(captions)
    fooled = adversarial_captions(model, image[:ADVERSARIAL].detach(), true[:ADVERSARIAL], generator)
    text = encode_tokens(model, [caption.ids for caption in captions])
    false = encode_tokens(model, nonsense + fooled)
    scale = model.logit_scale.clamp(max=LOG_SCALE_LIMIT).exp()
    targets = torch.arange(count, device=device)
    by_picture = F.cross_entropy(scale * image[:count] @ torch.cat([text, false]).T, targets)
    by_caption = F.cross_entropy(scale * text @ image.T, targets)
    head = Sample(*(field[:count].to(device) for field in (sample.concept, sample.style, sample.colour)))
    whole = Sample(*(field.to(device) for field in (sample.concept, sample.style, sample.colour)))
    seen = {name: torch.ones(len(image), device=device) for name in heads.classifiers}
    seen["colour"] = 1 - sample.unnamed.to(device).float()
    stated = {
        name: torch.tensor([float(getattr(caption, f"names_{name}")) for caption in captions], device=device)
        for name in heads.classifiers
    }
    return {
        "contrast": (by_picture + by_caption) / 2,
        "image heads": HEADS_WEIGHT * heads.loss(image, whole, seen),
        "text heads": HEADS_WEIGHT * heads.loss(text, head, stated),
    }


def train(recipe: Recipe, drawings: Drawings, out: Path, device: str) -> None:
    """Train from the last checkpoint in `out`, or from the start, and write the model there."""
    torch.manual_seed(recipe.seed)
    out.mkdir(parents=True, exist_ok=True)
    seen = [index for index, concept in enumerate(drawings.concepts) if recipe.every_concept or not concept.held_out]
    pixels, concepts = drawings.pixels[seen], [drawings.concepts[index] for index in seen]
    model = open_clip.CLIP(**recipe.config).to(device, memory_format=torch.channels_last)
    heads = Heads(recipe.features, len(concepts)).to(device)
    modules = nn.ModuleDict({"model": model, "heads": heads})
    for number, stage in enumerate(recipe.stages):
        _train_stage(number, stage, modules, pixels, concepts, out, device, recipe.seed)
    save_model(model, recipe.config, out)


def _train_stage(
    number: int,
    stage: Stage,
    modules: nn.ModuleDict,
    pixels: Tensor,
    concepts: list[Concept],
    out: Path,
    device: str,
    seed: int,
) -> None:
    optimiser = torch.optim.AdamW(_groups(modules), lr=stage.peak_learning_rate, fused=True, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        stage.peak_learning_rate,
        total_steps=stage.steps + 1,
        pct_start=WARM_UP_STEPS / stage.steps,
        cycle_momentum=False,
    )
    first = _resume(out / f"stage{number}", modules, optimiser, schedule)
    rng, generator = random.Random(seed + first), torch.Generator().manual_seed(seed + first)
    start = time.monotonic()
    for step in range(first, stage.steps):
        long, styled = step % LONG_EVERY == LONG_EVERY - 1, step >= stage.plain_steps
        sample, captions = _batch(concepts, rng, generator, long, styled, stage.unnamed_share)
        true = [_true(concepts, sample, index) for index in range(ADVERSARIAL)]
        nonsense = sample_nonsense(captions, NONSENSE, VOCABULARY, rng)
        pictures = compose(pixels, sample, generator, stage.background_jitter).to(device)
        losses = training_loss(*modules.values(), pictures, sample, captions, nonsense, true, generator)
        optimiser.zero_grad()
        sum(losses.values()).backward()
        nn.utils.clip_grad_norm_(modules.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 25 == 0:
            parts = "  ".join(f"{name} {loss.item():.3f}" for name, loss in losses.items())
            print(f"stage {number}  step {step:4d}  {time.monotonic() - start:6.0f} s  {parts}", flush=True)
        if (step + 1) % CHECKPOINT_EVERY == 0 or step + 1 == stage.steps:
            _checkpoint(out / f"stage{number}", modules, optimiser, schedule, step + 1)


def save_model(model: nn.Module, config: dict[str, Any], out: Path) -> None:
    """Write an ordinary open_clip folder: configuration and fp16 weights."""
    weights = {name: value.half() if value.is_floating_point() else value for name, value in model.state_dict().items()}
    save_file({name: value.contiguous() for name, value in weights.items()}, out / "open_clip_model.safetensors")
    written = {"model_cfg": config, "preprocess_cfg": PREPROCESS_CONFIG}
    (out / "open_clip_config.json").write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")


def _batch(
    concepts: list[Concept],
    rng: random.Random,
    generator: torch.Generator,
    long: bool,
    styled: bool,
    unnamed_share: float,
) -> tuple[Sample, list[Caption]]:
    sample = Sample(
        *(
            torch.randint(0, size, (BATCH,), generator=generator)
            for size in (len(concepts), len(STYLE_NAMES), len(COLOUR_NAMES))
        )
    )
    if styled:
        concept = sample.concept[: BATCH // len(STYLE_NAMES)].repeat_interleave(len(STYLE_NAMES))
        sample = Sample(concept, torch.arange(BATCH) % len(STYLE_NAMES), sample.colour)
    sample = replace(sample, unnamed=torch.rand(BATCH, generator=generator) < unnamed_share)
    columns = (sample.concept, sample.style, sample.colour, sample.unnamed)
    rows = list(zip(*(column.tolist() for column in columns)))[: LONG_BATCH if long else BATCH]
    captions = [
        sample_caption(
            concepts[concept], STYLE_NAMES[style], None if unnamed else COLOUR_NAMES[colour], rng, long, styled
        )
        for concept, style, colour, unnamed in rows
    ]
    return sample, captions


def _true(concepts: list[Concept], sample: Sample, index: int) -> set[int]:
    style, colour = STYLE_NAMES[sample.style[index]], COLOUR_NAMES[sample.colour[index]]
    return true_tokens(concepts[sample.concept[index]], style, colour)


def _pad(captions: list[tuple[int, ...]]) -> tuple[Tensor, Tensor]:
    longest = max(map(len, captions)) + 2
    rows = [[START, *ids, END] + [0] * (longest - len(ids) - 2) for ids in captions]
    return torch.tensor(rows), torch.tensor([len(ids) + 1 for ids in captions])


def _groups(modules: nn.Module) -> list[dict]:
    decayed = [p for p in modules.parameters() if p.ndim >= 2]
    return [
        {"params": decayed, "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in modules.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]


def _checkpoint(prefix: Path, modules: nn.Module, optimiser, schedule, step: int) -> None:
    state = {"optimiser": optimiser.state_dict(), "schedule": schedule.state_dict(), "step": step}
    torch.save(state, prefix.with_suffix(".pt"))
    weights = {name: value.contiguous() for name, value in modules.state_dict().items()}
    save_file(weights, prefix.with_suffix(".safetensors"))


def _resume(prefix: Path, modules: nn.Module, optimiser, schedule) -> int:
    if not prefix.with_suffix(".pt").exists():
        return 0
    modules.load_state_dict(load_file(prefix.with_suffix(".safetensors")))
    state = torch.load(prefix.with_suffix(".pt"), weights_only=True)
    optimiser.load_state_dict(state["optimiser"])
    schedule.load_state_dict(state["schedule"])
    step: int = state["step"]
    return step


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the embedded model; run again to go on after a break.")
    parser.add_argument("--packages", type=Path, required=True, help="node_modules with the npm packages")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model and its checkpoints")
    parser.add_argument("--device", default=str(best_device()))
    parser.add_argument(
        "--seed", type=int, default=EMBEDDED.seed, help="another seed makes another model of the same kind"
    )
    parser.add_argument("--short", action="store_true", help=f"one stage of {SHORT.steps} steps, for a rougher model")
    arguments = parser.parse_args()
    recipe = replace(EMBEDDED, seed=arguments.seed, stages=(SHORT,) if arguments.short else EMBEDDED.stages)
    arguments.out.mkdir(parents=True, exist_ok=True)
    drawings = load_drawings(arguments.packages, arguments.out / "drawings.npy")
    train(recipe, drawings, arguments.out, arguments.device)


if __name__ == "__main__":
    main()
