"""Prompts for the same pictures, by the embedded model: the published loop against ours.

    python -m benchmarks.quality [--quick] [--json FILE]

Every picture gets an 8-token prompt by every method. The published loop is measured in steps, ours in the time of so
many of those steps, taken by the plain loop on the same picture just before. What the published loop finds is computed
by the engine, many pictures side by side, since one candidate of it goes the same way
(tests/measuring/test_reference.py); its first steps are compared with the plain loop's on every picture.

What FILE holds already is not run again, so an interrupted run continues where it stopped. `--summary FILE` prints the
tables that docs/results.md has of it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
from collections.abc import Iterable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor

from benchmarks import machine, resume, sheets
from benchmarks.reference import ReferenceStep, lead, reference_pez
from benchmarks.tables.quality import summary
from pez_core import Encoder, HardPrompt, SearchSettings, invert, load_encoder
from pez_core.best import Best
from pez_core.feature_judge import FeatureJudge
from pez_core.objectives import Match
from pez_core.optimiser.descent import Descent, Iterate
from pez_core.optimiser.judge import Offer, Verdict
from pez_core.optimiser.projection import Projection

DATA = Path(__file__).parent / "data"
TOKENS = 8
SHORT, STEPS, LONG = 60, 300, 3000
TIMED_STEPS = 10
TOGETHER = 20
FOR_STUDIES = 20
UNTOUCHED = 10
UNLIMITED = 10**6
PUBLISHED = "published"
REREAD = {"all": "published, re-read", "ascii words": "published, re-read, ascii words"}
OURS = {
    "ours, 1 candidate": SearchSettings(TOKENS, UNLIMITED, candidates=1, refinement=0, language=0),
    "ours, 8 candidates": SearchSettings(TOKENS, UNLIMITED, candidates=8, refinement=0, language=0),
    "ours, 8 candidates + refinement": SearchSettings(TOKENS, UNLIMITED, candidates=8, refinement=1, language=0),
}
WITH_EQUAL_TIME = ("ours, 1 candidate", "ours, 8 candidates + refinement")


@dataclass(frozen=True)
class Row:
    """What one method found for one picture; the similarity is that of the prompt's text tokenised again.

    `steps` are those that the published loop took, or whose time ours was given. Earlier versions of the benchmark left
    `untouched` pictures out.
    """

    method: str
    steps: int
    picture: str
    held_out: bool
    untouched: bool
    seconds: float
    similarity: float
    concept_rank: int
    style_match: bool
    prompt: str


@dataclass(frozen=True)
class Loop:
    """The plain loop on one picture: its time, and whether the engine went the same way in the first steps.

    `lead` is None where it did; elsewhere it says by how much cosine the plain loop's choice was nearer.
    """

    picture: str
    seconds_per_step: float
    lead: float | None


class Pictures(NamedTuple):
    """Pictures (H, W, 3), their features (N, F), what is true of them, and the features that tell concept and style."""

    pixels: list[Tensor]
    features: Tensor
    facts: list[dict]
    held_out: list[bool]
    concepts: Tensor
    names: list[str]
    styles: Tensor
    style_names: list[str]

    def untouched(self) -> list[int]:
        """The last pictures of training concepts, and of held-out ones."""
        return [*self._all(held_out=False)[-UNTOUCHED:], *self._all(held_out=True)[-UNTOUCHED:]]

    def touched(self) -> list[int]:
        """The others, but for those that `benchmarks.studies` tries settings on."""
        return [*self._all(held_out=False)[FOR_STUDIES:-UNTOUCHED], *self._all(held_out=True)[:-UNTOUCHED]]

    def _all(self, held_out: bool) -> list[int]:
        return [index for index, held in enumerate(self.held_out) if held == held_out]


@dataclass(frozen=True)
class Each:
    """The objective of pictures searched side by side: candidate b is to match target b."""

    targets: Tensor

    def score(self, features: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return (features * self.targets).sum(1)

    def similarity(self, features: Tensor) -> Tensor:
        return self.score(features)


@cache
def pictures_and_encoder() -> tuple[Encoder, Pictures]:
    """The embedded model, and 80 pictures of training concepts followed by 40 of held-out ones."""
    encoder = load_encoder()
    training, held_out = sheets.read(DATA, "training"), sheets.read(DATA, "held-out")
    pixels, facts = [*training.pixels, *held_out.pixels], [*training.facts, *held_out.facts]
    with safe_open(DATA / "features.safetensors", "pt") as file:
        concepts, styles = file.get_tensor("concepts").float(), file.get_tensor("styles").float()
        names, style_names = (json.loads(file.metadata()[key]) for key in ("names", "styles"))
    is_held_out = [False] * len(training.facts) + [True] * len(held_out.facts)
    features = encoder.encode_images(pixels)
    return encoder, Pictures(pixels, features, facts, is_held_out, concepts, names, styles, style_names)


def _row(method: str, steps: int, picture: int, prompt: str, seconds: float) -> Row:
    encoder, pictures = pictures_and_encoder()
    fact, text = pictures.facts[picture], encoder.encode_text(prompt)[0]
    by_concept = pictures.concepts @ text
    return Row(
        method,
        steps,
        fact["tile"],
        pictures.held_out[picture],
        picture in pictures.untouched(),
        seconds,
        similarity=(text @ pictures.features[picture]).item(),
        concept_rank=int((by_concept > by_concept[pictures.names.index(fact["concept"])]).sum()) + 1,
        style_match=pictures.style_names[(pictures.styles[picture] @ text).argmax()] == fact["style"],
        prompt=prompt,
    )


@cache
def _projection(token_filter: str) -> Projection:
    encoder, _ = pictures_and_encoder()
    return Projection(encoder.tower.tables, encoder.vocabulary.allowed_ids(token_filter))


def start(picture: int, token_filter: str = "all") -> Tensor:
    """Ids (1, M) that the published loop starts from; the seed is the picture's number."""
    return _projection(token_filter).random_ids((1, TOKENS), torch.Generator().manual_seed(picture))


def trajectory(
    targets: Tensor, starts: Tensor, steps: int, token_filter: str = "all", learning_rate: float = 0.1
) -> tuple[Tensor, Tensor]:
    """The published loop on pictures (N, F) side by side, from ids (N, M): ids (steps, N, M) and scores (steps, N)."""
    encoder, _ = pictures_and_encoder()
    settings = SearchSettings(TOKENS, steps, candidates=len(targets), learning_rate=learning_rate, language=0)
    judge = FeatureJudge(encoder, Each(targets), settings)
    iterate = Iterate(encoder.tower.embed(starts), settings.learning_rate, settings.weight_decay)
    descent = Descent(judge, _projection(token_filter), iterate, torch.Generator())
    offers = [descent.step() for _ in range(steps)]
    return torch.stack([offer.ids for offer in offers]), torch.stack([offer.verdict.score for offer in offers])


def published(group: list[int], token_filter: str, counts: tuple[int, ...], seconds: list[float]) -> list[Row]:
    """The published loop's rows for some pictures after so many steps each; `seconds` are those of a step.

    Its prompt is the best by the score of the ids, or, re-read, by the score of the text, as ours is chosen. The time
    for reading texts again is not counted.
    """
    torch.set_num_threads(1)
    _, pictures = pictures_and_encoder()
    starts = torch.cat([start(picture, token_filter) for picture in group])
    ids, scores = trajectory(pictures.features[group], starts, counts[-1], token_filter)
    rows = []
    for place, picture in enumerate(group):
        for steps, by_ids, by_text in best_texts(picture, ids[:, place], scores[:, place], counts):
            taken = steps * seconds[place]
            rows.append(_row(REREAD[token_filter], steps, picture, by_text, taken))
            if token_filter == "all":
                rows.append(_row(PUBLISHED, steps, picture, by_ids, taken))
    return rows


def best_texts(picture: int, ids: Tensor, scores: Tensor, counts: tuple[int, ...]) -> Iterable[tuple[int, str, str]]:
    """For each count of steps the best text by the ids' score, and by its own."""
    encoder, pictures = pictures_and_encoder()
    settings = SearchSettings(TOKENS)
    judge = FeatureJudge(encoder, Match(pictures.features[picture : picture + 1]), settings)
    best = Best(judge, encoder.vocabulary, settings)
    for step, (tried, score) in enumerate(zip(ids[:, None], scores[:, None]), 1):
        best.consider(Offer(tried, Verdict(score, score)))
        if step in counts:
            yield step, encoder.vocabulary.decode(ids[scores[:step].argmax()].tolist()), best.text


def measured(picture: int, went: list[list[int]]) -> tuple[Loop, list[Row]]:
    """The plain loop's time on one picture, and what ours finds there; `went` are the engine's first ids (steps, M)."""
    torch.set_num_threads(1)
    _warm_up()
    loop = plain_loop(picture, went)
    rows = [ours(name, SHORT, picture, loop.seconds_per_step) for name in OURS]
    if picture in pictures_and_encoder()[1].untouched():
        rows += [ours(name, STEPS, picture, loop.seconds_per_step) for name in WITH_EQUAL_TIME]
    return loop, rows


@cache
def _warm_up() -> None:
    """Read vocabularies and load libraries, so that no method is charged for it."""
    encoder, pictures = pictures_and_encoder()
    for settings in OURS.values():
        invert(encoder, pictures.features[:1], replace(settings, steps=1))


def plain_loop(picture: int, went: list[list[int]]) -> Loop:
    """So many steps of the loop written out plainly, timed and compared with the ids (steps, M) that are expected."""
    encoder, pictures = pictures_and_encoder()
    tower, target = encoder.tower, pictures.features[picture : picture + 1]
    allowed = encoder.vocabulary.allowed_ids("all")
    loop = reference_pez(tower._text, target, start(picture)[0], tower.start_id, tower.end_id, allowed)
    seen: list[ReferenceStep] = []
    cpu = torch.device("cpu")
    per_step = statistics.median(machine.seconds(lambda: seen.append(next(loop)), cpu) for _ in went)
    leads = [lead(step, ids, tower.embeddings) for step, ids in zip(seen, went) if step.ids != ids]
    return Loop(pictures.facts[picture]["tile"], per_step, leads[0] if leads else None)


def ours(method: str, steps: int, picture: int, per_step: float) -> Row:
    """What ours finds in the time of so many published steps."""
    encoder, pictures = pictures_and_encoder()
    target = pictures.features[picture : picture + 1]
    settings = replace(OURS[method], seed=picture, time_budget=steps * per_step)
    found: list[HardPrompt] = []
    taken = machine.seconds(lambda: found.append(invert(encoder, target, settings)), torch.device("cpu"))
    return _row(method, steps, picture, found[0].text, taken)


def _first_steps(chosen: list[int]) -> dict[int, list[list[int]]]:
    """For each picture the ids that the engine has in the first steps of the published loop."""
    _, pictures = pictures_and_encoder()
    starts = torch.cat([start(picture) for picture in chosen])
    ids, _ = trajectory(pictures.features[chosen], starts, TIMED_STEPS)
    return {picture: ids[:, place].tolist() for place, picture in enumerate(chosen)}


class Run:
    """The rows that a file holds, and those that are still to be found."""

    def __init__(self, path: Path | None, quick: bool) -> None:
        self._path = path
        self.result = resume.load(path, {**machine.facts(torch.device("cpu")), "loops": [], "rows": []})
        _, self._pictures = pictures_and_encoder()
        untouched, touched = self._pictures.untouched(), self._pictures.touched()
        if quick:
            untouched, touched = ([some[0], some[-1]] for some in (untouched, touched))
        self._groups = [untouched, *(touched[first : first + TOGETHER] for first in range(0, len(touched), TOGETHER))]
        self._counts = [(SHORT, STEPS) if quick else (SHORT, STEPS, LONG), *[(SHORT, STEPS)] * len(self._groups)]

    def time_pictures(self, pool: Executor) -> None:
        """Ours, and the time of the plain loop, on every picture that has none."""
        done = {loop["picture"] for loop in self.result["loops"]}
        chosen = [picture for group in self._groups for picture in group if self._name(picture) not in done]
        went = _first_steps(chosen) if chosen else {}
        for job in as_completed([pool.submit(measured, picture, went[picture]) for picture in chosen]):
            loop, rows = job.result()
            self.result["loops"].append(asdict(loop))
            self._add(rows)

    def find_published(self, pool: Executor) -> None:
        """The published loop, on every group of pictures that lacks a row of it."""
        done = self._done()
        seconds = {loop["picture"]: loop["seconds_per_step"] for loop in self.result["loops"]}
        jobs: list[Future[list[Row]]] = []
        for group, counts in zip(self._groups, self._counts):
            for token_filter, method in REREAD.items():
                wanted = {(method, steps, self._name(picture)) for steps in counts for picture in group}
                if not wanted <= done:
                    taken = [seconds[self._name(picture)] for picture in group]
                    jobs.append(pool.submit(published, group, token_filter, counts, taken))
        for job in as_completed(jobs):
            self._add(job.result())

    def _name(self, picture: int) -> str:
        return self._pictures.facts[picture]["tile"]

    def _done(self) -> set[tuple[str, int, str]]:
        return {(row["method"], row["steps"], row["picture"]) for row in self.result["rows"]}

    def _add(self, rows: list[Row]) -> None:
        done = self._done()
        self.result["rows"] += [asdict(row) for row in rows if (row.method, row.steps, row.picture) not in done]
        resume.save(self._path, self.result)
        for row in rows:
            print(f"{row.picture:16} {row.method:32} {row.steps:4} {row.similarity:6.3f} {row.prompt}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"4 pictures, and no {LONG} steps")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rows there, as they come")
    parser.add_argument("--summary", type=Path, metavar="FILE", help="only print the tables of an earlier run")
    options = parser.parse_args()
    if options.summary:
        print(summary(json.loads(options.summary.read_text(encoding="utf-8"))))
        return
    run = Run(options.json, options.quick)
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        run.time_pictures(pool)
        run.find_published(pool)
    print(summary(run.result))


if __name__ == "__main__":
    main()
