"""Pictures an hour: searches side by side against one at a time.

    python -m benchmarks.throughput [--json FILE]

Both find texts for the same pictures of the miniature world with the same seeds, each in a process of its own. One at a
time gets the better of two settings: all cores for its sums, or one. The model in the published sizes has random
weights, so its similarities mean nothing. With `one step`, which hardly searches, it is shown whether a picture costs
the same among many.

What FILE holds already is not run again.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import machine, resume, sheets
from benchmarks.miniature import DATA
from benchmarks.speed import random_text
from pez_core import Encoder, SearchSettings, invert, invert_many, load_encoder
from pez_core.encoders.clip_vocabulary import ClipVocabulary
from pez_core.encoders.open_clip import OpenClipTower
from pez_core.many import searches_together

EMBEDDED = "embedded"
NOISE = 0.02
ENGINES = {
    "guided": SearchSettings(),
    "descent": SearchSettings(language=0),
    "one step": SearchSettings(language=0, steps=1, candidates=1, refinement=0),
}


@dataclass(frozen=True)
class Case:
    """What is searched with which model, for how many pictures, and the threads that one at a time may have, if it is
    to be tried."""

    engine: str
    model: str
    pictures: int
    threads: tuple[int, ...] = ()


@dataclass(frozen=True)
class Run:
    """Similarities and texts of pictures, the seconds that they took, and the process's memory at its largest."""

    similarities: list[float]
    texts: list[str]
    seconds: float
    workers: int
    peak_bytes: int


@dataclass(frozen=True)
class Row:
    """A case, side by side and one at a time; what was not run one at a time is None."""

    engine: str
    device: str
    model: str
    pictures: int
    workers: int
    pictures_per_hour: float
    one_at_a_time_per_hour: float | None
    one_at_a_time_threads: int | None
    mean_similarity: float
    one_at_a_time_similarity: float | None
    same_texts: int | None
    peak_bytes: int
    one_at_a_time_peak_bytes: int | None


def cases() -> list[Case]:
    cores = torch.get_num_threads()
    return [
        Case("guided", EMBEDDED, 24, (cores, 1)),
        *(Case("one step", EMBEDDED, count) for count in (100, 1000, 10000)),
        Case("descent", EMBEDDED, 8, (cores, 1)),
        Case("guided", "ViT-L-14", 4, (cores,)),
    ]


def encoder(model: str) -> Encoder:
    """The embedded model, or one of a published size with random weights."""
    if model == EMBEDDED:
        return load_encoder()
    vocabulary = ClipVocabulary()
    text = random_text(model, torch.device("cpu"), torch.float32)
    tower = OpenClipTower(text, model, vocabulary.start_id, vocabulary.end_id)
    return Encoder(tower, vocabulary, lambda pictures: torch.empty(0))


def targets(model: str, count: int) -> Iterator[Tensor]:
    """Features (1, F) of pictures; those after the first 80 are these with noise."""
    pixels, _ = sheets.read(DATA, "training")
    some = load_encoder().encode_images(pixels)
    if model != EMBEDDED:
        some = torch.randn(len(pixels), 768, generator=torch.Generator().manual_seed(0))
    draws = torch.Generator().manual_seed(1)
    for number in range(count):
        noise = NOISE * torch.randn(some.shape[1], generator=draws) * (number >= len(some))
        yield F.normalize(some[number % len(some)] + noise, dim=-1)[None]


def run(case: Case, threads: int | None) -> Run:
    """Side by side, or one at a time with so many threads."""
    small, settings = encoder(case.model), ENGINES[case.engine]
    pictures = list(targets(case.model, case.pictures))
    invert(small, pictures[0], SearchSettings(tokens=1))  # what the first search would be charged for
    if threads is not None:
        torch.set_num_threads(threads)
    workers = searches_together(small) if threads is None else 1
    began = time.perf_counter()
    if threads is None:
        found = list(invert_many(small, pictures, settings))
    else:
        found = [invert(small, picture, settings) for picture in pictures]
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Run([each.similarity for each in found], [each.text for each in found], seconds, workers, peak)


def row(case: Case) -> Row:
    many = _apart(case, None)
    alone = {threads: _apart(case, threads) for threads in case.threads}
    threads = min(alone, key=lambda count: alone[count].seconds, default=None)
    one = None if threads is None else alone[threads]
    return Row(
        case.engine, "cpu", case.model, case.pictures, many.workers,
        _an_hour(many), one and _an_hour(one), threads, _mean(many.similarities), one and _mean(one.similarities),
        one and sum(text == other for text, other in zip(many.texts, one.texts)),
        many.peak_bytes, one and one.peak_bytes,
    )  # fmt: skip


def _apart(case: Case, threads: int | None) -> Run:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(run, case, threads).result()


def _an_hour(done: Run) -> float:
    return 3600 * len(done.texts) / done.seconds


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)


def main() -> None:
    parser = argparse.ArgumentParser(description="Pictures an hour, side by side and one at a time.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the results are kept")
    options = parser.parse_args()
    result = resume.load(options.json, {**machine.facts(torch.device("cpu")), "rows": []})
    done = {(each["engine"], each["model"], each["pictures"]) for each in result["rows"]}
    for case in cases():
        if (case.engine, case.model, case.pictures) not in done:
            result["rows"].append(asdict(row(case)))
            print(result["rows"][-1], flush=True)
            resume.save(options.json, result)


if __name__ == "__main__":
    main()
