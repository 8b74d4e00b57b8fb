"""Prompts per second on real pictures, by the embedded model: the published loop against ours.

    python -m benchmarks.quality [--quick] [--json FILE]

Every picture gets an 8-token prompt by every method. The published loop takes 300 steps, and 3,000 on some pictures;
ours gets a fifth of the time of those 300, as measured by running the plain loop on the same picture just before. What
the plain loop finds is computed by the engine, many pictures at a time, since one candidate of it goes the same way
(tests/benchmarks/test_reference.py); its first steps are compared with the plain loop's on every picture.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import statistics
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor

from benchmarks import machine
from benchmarks.reference import reference_pez
from pez_core import Encoder, HardPrompt, SearchSettings, invert, load_encoder, open_pictures
from pez_core.descent import Descent
from pez_core.frame import Frame
from pez_core.projection import Projection

DATA = Path(__file__).parent / "data"
TOKENS = 8
REFERENCE_STEPS, LONG_STEPS, LONG_PICTURES = 300, 3000, 20
TIMED_STEPS = 10
SHARE = 0.2
TOGETHER = 20
UNLIMITED = 10**6
METHODS = {
    "ours, 1 candidate": SearchSettings(TOKENS, UNLIMITED, candidates=1, refinement=0),
    "ours, 8 candidates": SearchSettings(TOKENS, UNLIMITED, candidates=8, refinement=0),
    "ours, 8 candidates + refinement": SearchSettings(TOKENS, UNLIMITED, candidates=8, refinement=1),
}


@dataclass(frozen=True)
class Row:
    """What one method found for one picture; the similarity is that of the prompt's text tokenised again."""

    method: str
    picture: str
    held_out: bool
    seconds: float
    similarity: float
    concept_rank: int
    style_match: bool
    prompt: str


class Pictures(NamedTuple):
    """Features (N, F) of the pictures, what is true of them, and the features that tell concept and style."""

    features: Tensor
    facts: list[dict]
    held_out: list[bool]
    concepts: Tensor
    names: list[str]
    styles: Tensor
    style_names: list[str]


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
    encoder, facts = load_encoder(), []
    for name in ("training", "held-out"):
        facts += json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))
    held_out = [fact["file"].startswith("held-out") for fact in facts]
    with safe_open(DATA / "features.safetensors", "pt") as file:
        concepts, styles = file.get_tensor("concepts").float(), file.get_tensor("styles").float()
        names, style_names = (json.loads(file.metadata()[key]) for key in ("names", "styles"))
    features = encoder.encode_images(open_pictures([DATA / fact["file"] for fact in facts]))
    return encoder, Pictures(features, facts, held_out, concepts, names, styles, style_names)


def _row(method: str, picture: int, prompt: str, seconds: float) -> Row:
    encoder, pictures = pictures_and_encoder()
    fact, text = pictures.facts[picture], encoder.encode_text(prompt)[0]
    similarity = (text @ pictures.features[picture]).item()
    by_concept = pictures.concepts @ text
    rank = int((by_concept > by_concept[pictures.names.index(fact["concept"])]).sum()) + 1
    style = pictures.style_names[(pictures.styles[picture] @ text).argmax()]
    held_out = pictures.held_out[picture]
    return Row(method, fact["file"], held_out, seconds, similarity, rank, style == fact["style"], prompt)


@cache
def _whole_vocabulary() -> Projection:
    encoder, _ = pictures_and_encoder()
    return Projection(encoder.tower.tables, encoder.vocabulary.allowed_ids("all"))


def _start(picture: int) -> Tensor:
    return _whole_vocabulary().random_ids((1, TOKENS), torch.Generator().manual_seed(picture))


def published(chosen: list[int], steps: int) -> tuple[list[str], Tensor]:
    """The prompts of the published loop for some pictures, and the ids (steps, pictures, tokens) on its way."""
    encoder, pictures = pictures_and_encoder()
    settings = SearchSettings(TOKENS, steps, candidates=len(chosen), token_filter="all")
    frame = Frame(encoder.tower, encoder.vocabulary, Each(pictures.features[chosen]), settings)
    start = torch.cat([_start(picture) for picture in chosen])
    descent = Descent(frame, _whole_vocabulary(), encoder.tower.embed(start), settings, torch.Generator(), steps)
    for _ in range(steps):
        descent.step()
    best = descent.judged.score.argmax(0)
    ids = descent.ids[best, torch.arange(len(chosen))].tolist()
    return [encoder.vocabulary.decode(row) for row in ids], descent.ids


def measured(picture: int, went: list[list[int]]) -> tuple[list[Row], float, bool]:
    """Our methods on one picture, the seconds of a published step there, and whether it went as computed at first."""
    torch.set_num_threads(1)
    encoder, pictures = pictures_and_encoder()
    target, tower = pictures.features[picture : picture + 1], encoder.tower
    loop = reference_pez(tower._text, target, _start(picture)[0], tower.start_id, tower.end_id)
    seen: list[list[int]] = []
    cpu = torch.device("cpu")
    per_step = statistics.median(machine.seconds(lambda: seen.append(next(loop).ids), cpu) for _ in went)
    rows = []
    for method, settings in METHODS.items():
        settings = replace(settings, seed=picture, time_budget=SHARE * REFERENCE_STEPS * per_step)
        found: list[HardPrompt] = []
        taken = machine.seconds(lambda: found.append(invert(encoder, target, settings)), cpu)  # noqa: B023
        rows.append(_row(method, picture, found[0].text, taken))
    return rows, per_step, seen == went


def _published_rows(chosen: list[int], steps: int) -> Iterator[tuple[int, str, list[list[int]]]]:
    for first in range(0, len(chosen), TOGETHER):
        group = chosen[first : first + TOGETHER]
        prompts, ids = published(group, steps)
        for place, picture in enumerate(group):
            yield picture, prompts[place], ids[:TIMED_STEPS, place].tolist()


def _summary(rows: list[Row]) -> str:
    lines = ["method                           pictures     similarity  lowest  top-1  style  seconds"]
    for held_out, method in itertools.product((False, True), dict.fromkeys(row.method for row in rows)):
        some = [row for row in rows if row.method == method and row.held_out == held_out]
        if some:
            lines.append(
                f"{method:32} {len(some):3} {'held out' if held_out else 'training'}"
                f" {statistics.mean(row.similarity for row in some):10.3f}"
                f" {min(row.similarity for row in some):7.3f}"
                f" {statistics.mean(row.concept_rank == 1 for row in some):6.0%}"
                f" {statistics.mean(row.style_match for row in some):6.0%}"
                f" {statistics.mean(row.seconds for row in some):8.1f}"
            )
    return "\n".join([*lines, *(_against(rows, steps) for steps in (REFERENCE_STEPS, LONG_STEPS))])


def _against(rows: list[Row], steps: int) -> str:
    """How our last method stands to the published loop, on the pictures that both have."""
    theirs = {row.picture: row for row in rows if row.method == f"published, {steps} steps"}
    pairs = [(row, theirs[row.picture]) for row in rows if row.method == [*METHODS][-1] and row.picture in theirs]
    if not pairs:
        return f"{steps} published steps were not taken"
    gains = [our.similarity - their.similarity for our, their in pairs]
    share = statistics.mean(our.seconds / their.seconds for our, their in pairs)
    return (
        f"against {steps} published steps on {len(pairs)} pictures, in {share:.3f} of the time:"
        f" {statistics.mean(gains):+.3f} ({statistics.mean(our.similarity for our, _ in pairs):.3f}"
        f" against {statistics.mean(their.similarity for _, their in pairs):.3f}),"
        f" lower on {sum(gain < 0 for gain in gains)}, by more than 0.01 on {sum(gain < -0.01 for gain in gains)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="8 pictures, and no 3,000 steps")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rows there")
    parser.add_argument("--summary", type=Path, metavar="FILE", help="only print the summary of an earlier run's rows")
    options = parser.parse_args()
    if options.summary:
        print(_summary([Row(**row) for row in json.loads(options.summary.read_text())["rows"]]))
        return
    head = machine.facts(torch.device("cpu"))
    print(json.dumps(head), flush=True)
    _, pictures = pictures_and_encoder()
    held_out = [index for index, held in enumerate(pictures.held_out) if held]
    training = [index for index, held in enumerate(pictures.held_out) if not held]
    chosen = training[:4] + held_out[:4] if options.quick else training[:70] + held_out[:30]

    computed = {picture: (prompt, went) for picture, prompt, went in _published_rows(chosen, REFERENCE_STEPS)}
    rows, as_computed, seconds = [], 0, {}
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        for picture, (ours, per_step, same) in zip(
            chosen, pool.map(measured, chosen, [computed[i][1] for i in chosen])
        ):
            seconds[picture], as_computed = per_step, as_computed + same
            method = f"published, {REFERENCE_STEPS} steps"
            rows += [_row(method, picture, computed[picture][0], per_step * REFERENCE_STEPS), *ours]
    for picture, prompt, _ in _published_rows([] if options.quick else chosen[:LONG_PICTURES], LONG_STEPS):
        rows.append(_row(f"published, {LONG_STEPS} steps", picture, prompt, seconds[picture] * LONG_STEPS))

    print(
        f"the plain loop went as computed in its first {TIMED_STEPS} steps on {as_computed} of {len(chosen)} pictures"
    )
    print(_summary(rows))
    if options.json:
        options.json.write_text(json.dumps({**head, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
