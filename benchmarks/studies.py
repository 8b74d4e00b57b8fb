"""What length, candidates, distillation, readable words and the published loop's learning rate do to the similarity.

    python -m training.train --packages node_modules --out second --seed 21 --short
    python -m benchmarks.studies [--quick] [--second second] [--json FILE] [--plots FOLDER]

On the embedded model; each point is a mean over pictures (or captions) that all points of its study share. The second
model is another one of the same kind, trained from another seed: the prompts are scored on it too, though none is
optimised on it. Points that FILE holds already are not run again, so an interrupted run continues where it stopped.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path

import torch

from benchmarks import machine, resume
from benchmarks.quality import STEPS, best_texts, pictures_and_encoder, start, trajectory
from pez_core import Encoder, HardPrompt, SearchSettings, distill, invert, score
from pez_core.encoders.open_clip import load_encoder_folder

PROMPTS = 12
BASE = SearchSettings(tokens=8, steps=100, candidates=8, refinement=0.5)
LENGTHS = (4, 8, 16, 32, 64)
CANDIDATES = (1, 2, 4, 8, 16, 32)
RATIOS = (0.7, 0.5, 0.3, 0.1)
LEARNING_RATES = (0.03, 0.1, 0.3)
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
        return cls(encoder, encoder.encode_images(pictures.pixels))

    def similarity(self, text: str, picture: int) -> float:
        return (self.encoder.encode_text(text)[0] @ self.features[picture]).item()


@cache
def _second(folder: Path | None) -> Second | None:
    return Second.load(folder) if folder else None


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


def _target(picture: int) -> torch.Tensor:
    return pictures_and_encoder()[1].features[picture : picture + 1]


def _found(settings: SearchSettings, picture: int) -> HardPrompt:
    return invert(pictures_and_encoder()[0], _target(picture), replace(settings, seed=picture))


def _distilled(ratio: float, first: int) -> HardPrompt:
    """From the captions of three pictures, joined."""
    encoder, pictures = pictures_and_encoder()
    prompt = ", ".join(fact["caption"] for fact in pictures.facts[3 * first : 3 * first + 3])
    return distill(encoder, prompt, replace(BASE, seed=first), ratio)


def _captioned(picture: int) -> HardPrompt:
    """The true caption of a picture, for comparison."""
    encoder, pictures = pictures_and_encoder()
    return score(encoder, pictures.facts[picture]["caption"], _target(picture))


def _published(learning_rate: float, picture: int) -> HardPrompt:
    """The best text of the published loop, its texts read again as ours are."""
    targets = _target(picture)
    ids, scores = trajectory(targets, start(picture), STEPS, learning_rate=learning_rate)
    ((_, _, text),) = best_texts(picture, ids[:, 0], scores[:, 0], (STEPS,))
    return score(pictures_and_encoder()[0], text, targets)


@dataclass(frozen=True)
class Work:
    """A point to be measured: how the n-th prompt is found, and whether the second model scores it."""

    study: str
    setting: str
    find: Callable[[int], HardPrompt]
    on_second: bool = False

    def point(self, count: int, folder: Path | None) -> Point:
        torch.set_num_threads(1)
        finds = [partial(self.find, number) for number in range(count)]
        return _point(self.study, self.setting, finds, _second(folder) if self.on_second else None)


def works() -> Iterator[Work]:
    """All studies."""
    yield Work("caption", "true", _captioned, on_second=True)
    for tokens in LENGTHS:
        yield Work("length", str(tokens), partial(_found, replace(BASE, tokens=tokens)), on_second=True)
    for candidates in CANDIDATES:
        settings = replace(BASE, candidates=candidates, refinement=0)
        yield Work("candidates", str(candidates), partial(_found, settings))
    for token_filter, preference in READABLE:
        settings = replace(BASE, token_filter=token_filter, word_preference=preference)
        yield Work("readability", f"{token_filter} {preference or ''}".strip(), partial(_found, settings))
    for ratio in RATIOS:
        yield Work("distillation", str(ratio), partial(_distilled, ratio))
    for rate in LEARNING_RATES:
        yield Work("learning rate", str(rate), partial(_published, rate))


def measure(some: list[Work], count: int, second: Path | None, path: Path | None, pool: Executor) -> list[Point]:
    """All points that `path` holds and those of `some` that it lacks, written there as they come."""
    result = resume.load(path, {**machine.facts(torch.device("cpu")), "threads": 1, "points": []})
    done = {(point["study"], point["setting"]) for point in result["points"]}
    missing = [work for work in some if (work.study, work.setting) not in done]
    for job in [pool.submit(work.point, count, second) for work in missing]:
        point = job.result()
        result["points"].append(asdict(point))
        resume.save(path, result)
        print(
            f"{point.study:13} {point.setting:18} {point.prompts:5} {point.similarity:10.3f}"
            f" {point.standard_error:6.3f} {_shown(point.second_similarity)} {point.share_of_words:7.0%}"
            f" {point.seconds:8.1f}",
            flush=True,
        )
    return [Point(**point) for point in result["points"]]


def plot(found: list[Point], folder: Path) -> None:
    """A picture for each study, with standard errors."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    for study in dict.fromkeys(point.study for point in found if point.study not in ("caption", "learning rate")):
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
    print("study         setting          prompts  similarity   ±     second    words  s/prompt")
    if options.second is None:
        print("no second model: give one by --second to see how prompts of every length transfer")
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        found = measure(list(works()), 2 if options.quick else PROMPTS, options.second, options.json, pool)
    if options.plots:
        plot(found, options.plots)


if __name__ == "__main__":
    main()
