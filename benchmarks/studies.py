"""What length, candidates, distillation, readable words and the published loop's learning rate do to the similarity.

    python -m benchmarks.studies [--quick] [--json FILE] [--plots FOLDER]

On the embedded model; each point is a mean over pictures (or long prompts) that all points of its study share. Beside
the similarity that is climbed stand two that no search sees: by judges, and, by a judge, of what the generator draws.
The judge that is kept for final figures takes no part. Points that FILE holds already are not run again, so an
interrupted run continues where it stopped.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path

import torch

from benchmarks import machine, resume
from benchmarks.judging import JUDGES, ON_THE_WAY
from benchmarks.miniature import drawn
from benchmarks.quality import STEPS, best_texts, pictures_and_encoder, start, trajectory
from pez_core import HardPrompt, SearchSettings, distill, invert, score
from pez_core.drawing import load_generator
from pez_core.encoders.open_clip import load_encoder_folder

PROMPTS = 12
BASE = SearchSettings(language=0, tokens=8, steps=100, candidates=8, refinement=0.5)
LENGTHS = (4, 8, 16, 32)
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
    """One setting of one study: means over its prompts with their standard errors, the share of whole words, seconds a
    prompt.

    `similarity` is the one that is climbed, `judged` the mean of the judges' similarities, `generated` the mean
    similarity of the drawn pictures to what was asked for, by the last judge.
    """

    study: str
    setting: str
    prompts: int
    similarity: float
    standard_error: float
    judged: float
    judged_error: float
    generated: float
    generated_error: float
    share_of_words: float
    seconds: float


class Outside:
    """Yardsticks that no search sees: the judges, and what the generator draws."""

    def __init__(self) -> None:
        self._encoder, pictures = pictures_and_encoder()
        self._judges = [load_encoder_folder(JUDGES / name, "cpu", name) for name in ON_THE_WAY]
        self._pictures = [judge.encode_images(pictures.pixels) for judge in self._judges]
        self._generator = load_generator()

    def to_picture(self, text: str, picture: int) -> tuple[float, float]:
        """The mean of the judges' similarities of a text to a picture, and that of what is drawn, by the last judge."""
        judged = [
            (judge.encode_text(text)[0] @ features[picture]).item()
            for judge, features in zip(self._judges, self._pictures)
        ]
        return statistics.mean(judged), (self._drawn(text) @ self._pictures[-1][picture]).mean().item()

    def to_text(self, text: str, other: str) -> tuple[float, float]:
        """The same of a text to another, what is drawn from both being drawn from the same noise."""
        judged = [(judge.encode_text(text) @ judge.encode_text(other).T).item() for judge in self._judges]
        return statistics.mean(judged), (self._drawn(text) * self._drawn(other)).sum(1).mean().item()

    def _drawn(self, text: str) -> torch.Tensor:
        return self._judges[-1].encode_images(drawn(self._generator, self._encoder, text))


@cache
def _outside() -> Outside:
    return Outside()


def _mean(values: Sequence[float]) -> tuple[float, float]:
    """The mean and its standard error."""
    return statistics.mean(values), statistics.stdev(values) / len(values) ** 0.5


def _target(picture: int) -> torch.Tensor:
    return pictures_and_encoder()[1].features[picture : picture + 1]


def _found(settings: SearchSettings, picture: int) -> HardPrompt:
    return invert(pictures_and_encoder()[0], _target(picture), replace(settings, seed=picture))


def _long_prompt(first: int) -> str:
    """The captions of three pictures, joined."""
    return ", ".join(fact["caption"] for fact in pictures_and_encoder()[1].facts[3 * first : 3 * first + 3])


def _distilled(ratio: float, first: int) -> HardPrompt:
    return distill(pictures_and_encoder()[0], _long_prompt(first), replace(BASE, seed=first), ratio)


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


def _to_picture(text: str, number: int) -> tuple[float, float]:
    return _outside().to_picture(text, number)


def _to_long_prompt(text: str, number: int) -> tuple[float, float]:
    return _outside().to_text(text, _long_prompt(number))


@dataclass(frozen=True)
class Work:
    """A point to be measured: how the n-th prompt is found, and what it is worth outside."""

    study: str
    setting: str
    find: Callable[[int], HardPrompt]
    worth: Callable[[str, int], tuple[float, float]] = _to_picture

    def point(self, count: int) -> Point:
        torch.set_num_threads(1)
        found: list[HardPrompt] = []
        taken = [
            machine.seconds(lambda number=number: found.append(self.find(number)), torch.device("cpu"))
            for number in range(count)
        ]
        outside = [self.worth(prompt.text, number) for number, prompt in enumerate(found)]
        words = set(pictures_and_encoder()[0].vocabulary.allowed_ids("ascii words").tolist())
        means = [_mean([prompt.similarity for prompt in found]), *(_mean(values) for values in zip(*outside))]
        return Point(
            self.study,
            self.setting,
            len(found),
            *(number for mean in means for number in mean),
            statistics.mean(token in words for prompt in found for token in prompt.tokens),
            statistics.mean(taken),
        )


def works() -> Iterator[Work]:
    """All studies."""
    yield Work("caption", "true", _captioned)
    for tokens in LENGTHS:
        yield Work("length", str(tokens), partial(_found, replace(BASE, tokens=tokens)))
    for candidates in CANDIDATES:
        settings = replace(BASE, candidates=candidates, refinement=0)
        yield Work("candidates", str(candidates), partial(_found, settings))
    for token_filter, preference in READABLE:
        settings = replace(BASE, token_filter=token_filter, word_preference=preference)
        yield Work("readability", f"{token_filter} {preference or ''}".strip(), partial(_found, settings))
    for ratio in RATIOS:
        yield Work("distillation", str(ratio), partial(_distilled, ratio), _to_long_prompt)
    for rate in LEARNING_RATES:
        yield Work("learning rate", str(rate), partial(_published, rate))


def measure(some: list[Work], count: int, path: Path | None, pool: Executor) -> list[Point]:
    """All points that `path` holds and those of `some` that it lacks, written there as they come."""
    result = resume.load(path, {**machine.facts(torch.device("cpu")), "threads": 1, "points": []})
    done = {(point["study"], point["setting"]) for point in result["points"]}
    missing = [work for work in some if (work.study, work.setting) not in done]
    for job in [pool.submit(work.point, count) for work in missing]:
        point = job.result()
        result["points"].append(asdict(point))
        resume.save(path, result)
        print(
            f"{point.study:13} {point.setting:18} {point.prompts:5} {point.similarity:10.3f}"
            f" {point.standard_error:6.3f} {point.judged:7.3f} {point.generated:7.3f} {point.share_of_words:7.0%}"
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
        lines = {
            "climbed": [(point.similarity, point.standard_error) for point in some],
            "by judges": [(point.judged, point.judged_error) for point in some],
            "of what is drawn": [(point.generated, point.generated_error) for point in some],
        }
        for name, values in lines.items():
            axes.errorbar(settings, *zip(*values), marker="o", capsize=3, label=name)
        axes.set(xlabel=study, ylabel="similarity")
        figure.legend(loc="outside upper center", ncols=len(lines))
        axes.tick_params(axis="x", rotation=20 if study == "readability" else 0)
        figure.savefig(folder / f"{study}.png", dpi=110)
        pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2 pictures in place of 12")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all points there")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="draw each study there")
    options = parser.parse_args()
    print("study         setting          prompts  similarity   ±     judged   drawn   words  s/prompt")
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        found = measure(list(works()), 2 if options.quick else PROMPTS, options.json, pool)
    if options.plots:
        plot(found, options.plots)


if __name__ == "__main__":
    main()
