"""Measure the embedded model, and write the pictures and features that the tests use.

python -m training.evaluate --packages node_modules --cache drawings.npy --scores scores.json
python -m training.evaluate --packages node_modules --cache drawings.npy --test-data tests/data
python -m training.evaluate --packages node_modules --cache drawings.npy --benchmark-data benchmarks/data
python -m training.evaluate --packages node_modules --cache drawings.npy --worth-data benchmarks/data
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Collection
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from benchmarks import sheets
from pez_core import Encoder, load_encoder
from pez_core.device.out_of_memory import in_parts
from pez_core.encoders.pictures import as_pil
from pez_core.encoders.tower import unit
from training.captions import COLOUR_NAMES, STYLE_NAMES, STYLE_WORDS, sentence
from training.drawings import Drawings, load_drawings
from training.pictures import SEEN_JITTER, UNSEEN_JITTER, Sample, compose

SEED = 1000
PICTURES = 40
BENCHMARK_PICTURES = 80
STYLE_PICTURES = 6
CHUNK = 256


def scores(encoder: Encoder, drawings: Drawings) -> dict[str, dict[str, float]]:
    """Name and style accuracy on unseen backgrounds and shifts, for training concepts and for held-out ones."""
    names = name_features(encoder, drawings)
    return {
        "training concepts": _accuracy(encoder, drawings, names, held_out=False),
        "held-out concepts": _accuracy(encoder, drawings, names, held_out=True),
        "similarity": _similarities(encoder, drawings),
    }


def name_features(encoder: Encoder, drawings: Drawings) -> Tensor:
    """Features (styles, concepts, F) of "a STYLE drawing of NAME" for every concept."""
    names = [concept.name for concept in drawings.concepts]
    return torch.stack([encode_texts(encoder, [sentence(name, style) for name in names]) for style in STYLE_NAMES])


def encode_texts(encoder: Encoder, texts: list[str]) -> Tensor:
    return torch.cat(in_parts(encoder.tower.encode_ids, [encoder.vocabulary.encode(text) for text in texts], CHUNK))


def encode_pictures(encoder: Encoder, pictures: Tensor) -> Tensor:
    """Features (N, F) of composed pictures (N, 3, H, W)."""
    return encoder.encode_images(list(pictures.permute(0, 2, 3, 1)))


def concept_features(encoder: Encoder, drawings: Drawings, concepts: list[int], draws: int = 4) -> Tensor:
    """Mean image features (C, F) of concepts, over all styles and `draws` backgrounds like those of training."""
    generator = torch.Generator().manual_seed(SEED + 1)
    total = torch.zeros(())
    for _ in range(draws):
        for style in range(len(STYLE_NAMES)):
            sample = _sample(torch.tensor(concepts), style, generator)
            total = total + encode_pictures(encoder, compose(drawings.pixels, sample, generator, SEEN_JITTER))
    return unit(total)


def _sample(concepts: Tensor, style: int, generator: torch.Generator) -> Sample:
    colours = torch.randint(len(COLOUR_NAMES), (len(concepts),), generator=generator)
    return Sample(concepts, torch.full_like(concepts, style), colours)


def _accuracy(encoder: Encoder, drawings: Drawings, names: Tensor, held_out: bool) -> dict[str, float]:
    concepts = torch.tensor([i for i, concept in enumerate(drawings.concepts) if concept.held_out == held_out])
    generator = torch.Generator().manual_seed(SEED)
    any_style = unit(names.mean(0))
    ranks, right_style = [], []
    for style in range(len(STYLE_NAMES)):
        sample = _sample(concepts, style, generator)
        features = encode_pictures(encoder, compose(drawings.pixels, sample, generator, UNSEEN_JITTER))
        similarity = features @ any_style.T
        ranks.append((similarity > similarity.gather(1, concepts[:, None])).sum(1))
        by_style = torch.einsum("nf,snf->ns", features, names[:, concepts])
        right_style.append(by_style.argmax(1) == style)
    rank, styles = torch.cat(ranks), torch.cat(right_style)
    return {
        "pictures": len(rank),
        "top-1": (rank < 1).float().mean().item(),
        "top-5": (rank < 5).float().mean().item(),
        "style": styles.float().mean().item(),
    }


def _similarities(encoder: Encoder, drawings: Drawings) -> dict[str, float]:
    pictures, described = _test_pictures(drawings, held_out=False)
    features = encode_pictures(encoder, pictures)
    generator = torch.Generator().manual_seed(SEED)
    allowed = encoder.vocabulary.allowed_ids("all")
    tokens = allowed[torch.randint(len(allowed), (len(features), 8), generator=generator)]
    nonsense = encoder.tower.encode_ids(tokens.tolist())
    captions = encode_texts(encoder, [picture["caption"] for picture in described])
    return {
        "random 8-token prompt": (features * nonsense).sum(1).mean().item(),
        "true caption": (features * captions).sum(1).mean().item(),
        "caption of another picture": (features * captions.roll(1, 0)).sum(1).mean().item(),
    }


def _test_pictures(
    drawings: Drawings, held_out: bool, count: int = PICTURES, seed: int = SEED, without: Collection[str] = ()
) -> tuple[Tensor, list[dict]]:
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    indices = [
        i for i, concept in enumerate(drawings.concepts) if concept.held_out == held_out and concept.name not in without
    ]
    chosen = torch.tensor(rng.sample(indices, count))
    styles = torch.arange(count) % len(STYLE_NAMES)
    sample = Sample(chosen, styles, torch.randint(len(COLOUR_NAMES), (count,), generator=generator))
    return compose(drawings.pixels, sample, generator, UNSEEN_JITTER), _describe(drawings, sample)


def _describe(drawings: Drawings, sample: Sample) -> list[dict]:
    rows = zip(sample.concept.tolist(), sample.style.tolist(), sample.colour.tolist())
    return [
        {
            "concept": drawings.concepts[concept].name,
            "keywords": list(drawings.concepts[concept].keywords),
            "style": STYLE_NAMES[style],
            "colour": COLOUR_NAMES[colour],
            "caption": sentence(drawings.concepts[concept].name, STYLE_NAMES[style], COLOUR_NAMES[colour]),
        }
        for concept, style, colour in rows
    ]


def write_test_data(encoder: Encoder, drawings: Drawings, folder: Path) -> None:
    """40 pictures on unseen backgrounds, style pictures, and the mean image features of every training concept.

    The first picture is also a file of its own, `picture.png`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _save("contents", *_test_pictures(drawings, held_out=False), folder)
    sheets.cut(folder / "contents.png", 1)[0].save(folder / "picture.png")
    rng, generator = random.Random(SEED + 2), torch.Generator().manual_seed(SEED + 2)
    seen = [i for i, concept in enumerate(drawings.concepts) if not concept.held_out]
    *drawn, new = rng.sample(seen, STYLE_PICTURES * len(STYLE_NAMES) + 1)
    for style, name in enumerate(STYLE_NAMES):
        sample = _sample(torch.tensor(drawn[style :: len(STYLE_NAMES)]), style, generator)
        _save(
            f"style-{name}",
            compose(drawings.pixels, sample, generator, UNSEEN_JITTER),
            _describe(drawings, sample),
            folder,
        )
    subject = torch.full((len(STYLE_NAMES),), new)
    sample = Sample(
        subject, torch.arange(len(STYLE_NAMES)), torch.full((len(STYLE_NAMES),), COLOUR_NAMES.index("white"))
    )
    _save("subject", compose(drawings.pixels, sample, generator, UNSEEN_JITTER), _describe(drawings, sample), folder)
    features = concept_features(encoder, drawings, seen).half()
    save_file(
        {"features": features},
        folder / "concepts.safetensors",
        {"names": json.dumps([drawings.concepts[i].name for i in seen])},
    )


def write_benchmark_data(encoder: Encoder, drawings: Drawings, folder: Path) -> None:
    """Pictures of training and of held-out concepts, the mean features of every concept, and of theirs by style."""
    folder.mkdir(parents=True, exist_ok=True)
    described = []
    for name, held_out, count in (("training", False, BENCHMARK_PICTURES), ("held-out", True, PICTURES)):
        pictures, facts = _test_pictures(drawings, held_out, count, SEED + 3)
        _save(name, pictures, facts, folder)
        described += facts
    names = [concept.name for concept in drawings.concepts]
    shown = torch.tensor([names.index(facts["concept"]) for facts in described])
    generator = torch.Generator().manual_seed(SEED + 4)
    styles = []
    for style in range(len(STYLE_NAMES)):
        pictures = compose(drawings.pixels, _sample(shown, style, generator), generator, SEEN_JITTER)
        styles.append(encode_pictures(encoder, pictures))
    save_file(
        {
            "concepts": concept_features(encoder, drawings, list(range(len(names)))).half(),
            "styles": torch.stack(styles, 1).half(),
        },
        folder / "features.safetensors",
        {"names": json.dumps(names), "styles": json.dumps(STYLE_NAMES)},
    )


def write_worth_data(drawings: Drawings, folder: Path) -> None:
    """Pictures of concepts that no other benchmark shows, as one sheet, and the phrases that an interrogator chooses
    from."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = {fact["concept"] for name in ("training", "held-out") for fact in sheets.read(folder, name).facts}
    parts = [
        _test_pictures(drawings, held_out, count, SEED + 5, shown)
        for held_out, count in ((False, BENCHMARK_PICTURES), (True, PICTURES))
    ]
    facts = [{**fact, "held_out": held_out} for held_out, (_, some) in zip((False, True), parts) for fact in some]
    _save("worth", torch.cat([pictures for pictures, _ in parts]), facts, folder)
    phrases = {
        "nouns": [concept.name for concept in drawings.concepts],
        "styles": [f"{word} drawing" for words in STYLE_WORDS.values() for word in words],
        "colours": [f"{colour} background" for colour in COLOUR_NAMES],
    }
    (folder / "phrases.json").write_text(json.dumps(phrases, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _save(name: str, pictures: Tensor, described: list[dict], folder: Path) -> None:
    sheets.write(folder, name, [as_pil(picture) for picture in pictures.permute(0, 2, 3, 1)], described)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the embedded model and write the test data.")
    parser.add_argument("--packages", type=Path, required=True, help="node_modules with the npm packages")
    parser.add_argument("--cache", type=Path, required=True, help="the rendered drawings, made if missing")
    parser.add_argument("--scores", type=Path, help="file for the scores, JSON")
    parser.add_argument("--test-data", type=Path, help="folder for contact sheets and features")
    parser.add_argument("--benchmark-data", type=Path, help="folder for the contact sheets and features of benchmarks")
    parser.add_argument("--worth-data", type=Path, help="folder for the contact sheet and phrases of benchmarks.worth")
    arguments = parser.parse_args()
    encoder, drawings = load_encoder(), load_drawings(arguments.packages, arguments.cache)
    if arguments.test_data:
        write_test_data(encoder, drawings, arguments.test_data)
    if arguments.benchmark_data:
        write_benchmark_data(encoder, drawings, arguments.benchmark_data)
    if arguments.worth_data:
        write_worth_data(drawings, arguments.worth_data)
    if arguments.scores:
        result = json.dumps(scores(encoder, drawings), indent=2)
        arguments.scores.write_text(result + "\n", encoding="utf-8")
        print(result)


if __name__ == "__main__":
    main()
