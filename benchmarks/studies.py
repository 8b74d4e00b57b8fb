"""What length, candidates, distillation and readable words do to the similarity, on the embedded model.

    python -m training.train --packages node_modules --out second --seed 21 --short
    python -m benchmarks.studies [--quick] [--second second] [--json FILE] [--plots FOLDER]

Each point is a mean over pictures (or captions) that all points of its study share. The second model is another one
of the same kind, trained from another seed: the prompts are scored on it too, though none is optimised on it.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from benchmarks import machine
from benchmarks.quality import DATA, pictures_and_encoder
from pez_core import Encoder, HardPrompt, SearchSettings, distill, invert, open_pictures, score
from pez_core.encoder import load_encoder_folder

BASE = SearchSettings(tokens=8, steps=100, candidates=8, refinement=0.5)
LENGTHS = (4, 8, 16, 32, 64)
CANDIDATES = (1, 2, 4, 8, 16, 32)
RATIOS = (0.7, 0.5, 0.3, 0.1)
READABLE = (
    ("all", 0.0),
    ("printable", 0.0),
    ("printable", 0.05),
    ("printable", 0.1),
    ("printable", 0.2),
    ("ascii words", 0.0),
)


@dataclass(frozen=True)
class Point:
    """One setting of one study: mean similarity, its standard error, the share of whole words, seconds a prompt.

    `second_similarity` is the mean similarity of the same prompts and pictures on the second model.
    """

    study: str
    setting: str
    prompts: int
    similarity: float
    standard_error: float
    second_similarity: float | None
    second_standard_error: float | None
    share_of_words: float
    seconds: float


@dataclass(frozen=True)
class Second:
    """A model that no prompt is optimised on, and its features of the pictures."""

    encoder: Encoder
    features: torch.Tensor

    @classmethod
    def load(cls, folder: Path) -> Second:
        encoder, (_, pictures) = load_encoder_folder(folder), pictures_and_encoder()
        files = [DATA / fact["file"] for fact in pictures.facts]
        return cls(encoder, encoder.encode_images(open_pictures(files)))

    def similarity(self, text: str, picture: int) -> float:
        return (self.encoder.encode_text(text)[0] @ self.features[picture]).item()


def _point(study: str, setting: str, finds: list[Callable[[], HardPrompt]], second: Second | None = None) -> Point:
    """`second` scores the prompts too; the n-th of them is for the n-th picture."""
    encoder, _ = pictures_and_encoder()
    words = set(encoder.vocabulary.allowed_ids("ascii words").tolist())
    found: list[HardPrompt] = []
    taken = [machine.seconds(lambda find=find: found.append(find()), torch.device("cpu")) for find in finds]
    similarities = [prompt.similarity for prompt in found]
    elsewhere = [second.similarity(prompt.text, picture) for picture, prompt in enumerate(found)] if second else []
    tokens = [token for prompt in found for token in prompt.tokens]
    return Point(
        study,
        setting,
        len(found),
        statistics.mean(similarities),
        _standard_error(similarities),
        statistics.mean(elsewhere) if elsewhere else None,
        _standard_error(elsewhere) if elsewhere else None,
        statistics.mean(token in words for token in tokens),
        statistics.mean(taken),
    )


def _standard_error(values: list[float]) -> float:
    return statistics.stdev(values) / len(values) ** 0.5


def _on_pictures(study: str, setting: str, settings: SearchSettings, count: int, second: Second | None = None) -> Point:
    encoder, pictures = pictures_and_encoder()

    def find(picture: int) -> Callable[[], HardPrompt]:
        target = pictures.features[picture : picture + 1]
        return lambda: invert(encoder, target, replace(settings, seed=picture))

    return _point(study, setting, [find(picture) for picture in range(count)], second)


def _distillation(ratio: float, count: int) -> Point:
    """Captions of three pictures, joined: some 36 tokens."""
    encoder, pictures = pictures_and_encoder()
    captions = [fact["caption"] for fact in pictures.facts]

    def find(first: int) -> Callable[[], HardPrompt]:
        prompt = ", ".join(captions[3 * first : 3 * first + 3])
        return lambda: distill(encoder, prompt, replace(BASE, seed=first), ratio)

    return _point("distillation", str(ratio), [find(first) for first in range(count)])


def _captions(count: int, second: Second | None) -> Point:
    """The true captions of the pictures, for comparison."""
    encoder, pictures = pictures_and_encoder()

    def caption(picture: int) -> Callable[[], HardPrompt]:
        text, target = pictures.facts[picture]["caption"], pictures.features[picture : picture + 1]
        return lambda: score(encoder, text, target)

    return _point("caption", "true", [caption(picture) for picture in range(count)], second)


def points(count: int, second: Second | None) -> Iterator[Point]:
    """All studies, each on `count` pictures or captions."""
    yield _captions(count, second)
    for tokens in LENGTHS:
        yield _on_pictures("length", str(tokens), replace(BASE, tokens=tokens), count, second)
    for candidates in CANDIDATES:
        yield _on_pictures("candidates", str(candidates), replace(BASE, candidates=candidates, refinement=0), count)
    for token_filter, preference in READABLE:
        settings = replace(BASE, token_filter=token_filter, word_preference=preference)
        yield _on_pictures("readability", f"{token_filter} {preference or ''}".strip(), settings, count)
    for ratio in RATIOS:
        yield _distillation(ratio, count)


def plot(found: list[Point], folder: Path) -> None:
    """A picture for each study, with standard errors."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    for study in dict.fromkeys(point.study for point in found if point.study != "caption"):
        some = [point for point in found if point.study == study]
        figure, axes = pyplot.subplots(figsize=(5, 3), layout="constrained")
        settings = [point.setting for point in some]
        lines = [("optimised on", [(point.similarity, point.standard_error) for point in some])]
        if all(point.second_similarity is not None for point in some):
            lines.append(("second model", [(point.second_similarity, point.second_standard_error) for point in some]))
        for name, values in lines:
            axes.errorbar(settings, *zip(*values), marker="o", capsize=3, label=name)
        axes.set(xlabel=study, ylabel="similarity")
        if len(lines) > 1:
            axes.legend()
        axes.tick_params(axis="x", rotation=20 if study == "readability" else 0)
        figure.savefig(folder / f"{study}.png", dpi=110)
        pyplot.close(figure)


def _shown(similarity: float | None) -> str:
    return "      -" if similarity is None else f"{similarity:7.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2 pictures in place of 12")
    parser.add_argument("--second", type=Path, metavar="FOLDER", help="a second model, to score the prompts on")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all points there")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="draw each study there")
    options = parser.parse_args()
    head = machine.facts(torch.device("cpu"))
    print(json.dumps(head))
    print("study         setting          prompts  similarity   ±     second    words  s/prompt")
    second = Second.load(options.second) if options.second else None
    if second is None:
        print("no second model: give one by --second to see how prompts of every length transfer")
    found = []
    for point in points(2 if options.quick else 12, second):
        found.append(point)
        print(
            f"{point.study:13} {point.setting:18} {point.prompts:5} {point.similarity:10.3f}"
            f" {point.standard_error:6.3f} {_shown(point.second_similarity)} {point.share_of_words:7.0%}"
            f" {point.seconds:8.1f}",
            flush=True,
        )
        if options.json:
            options.json.write_text(json.dumps({**head, "points": [asdict(point) for point in found]}, indent=1) + "\n")
    if options.plots:
        plot(found, options.plots)


if __name__ == "__main__":
    main()
