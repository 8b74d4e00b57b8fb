"""What prompts are worth outside of the model that they were searched on.

    python -m benchmarks.worth --language-model FILE --sentence-encoder FOLDER [--quick] [--json FILE]

Every method finds a prompt for the same pictures, which no other benchmark and no tuning has seen, in the same time on
one thread. Then each prompt is asked what no search could see: how similar it is by the judges, what the embedded
generator draws from it (three seeds), whether it names concept, style and background, how near it is to what the
concept is called, and how fluent it is. The judge FINAL is for the whole run only; `--quick` leaves it out.

`--language-model` is a causal language model, a folder or a GGUF file; `--sentence-encoder` the folder of a sentence
encoder. What FILE holds already is not run again, so an interrupted run continues where it stopped.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, fields, replace
from functools import cache, partial
from pathlib import Path

import torch
from torch import Tensor

from benchmarks import machine, resume, sheets
from benchmarks.interrogator import Interrogator
from benchmarks.judging import FINAL, ON_THE_WAY
from benchmarks.miniature import DATA, Miniature, load_miniature, share
from benchmarks.reader import Fluency, Meaning
from benchmarks.reference import reference_pez
from benchmarks.tables.worth import summary
from pez_core import Match, Prior, SearchSettings, invert, refine
from pez_core.best import Best
from pez_core.feature_judge import FeatureJudge
from pez_core.optimiser.judge import Offer, Verdict

SECONDS = 8.0
TOKENS = SearchSettings.tokens
UNLIMITED = 10**6
DESCENT = SearchSettings(language=0)
QUICK = 6
OURS = {
    "ours": SearchSettings(),
    "descent": DESCENT,
    "descent, 1 candidate": replace(DESCENT, steps=UNLIMITED, candidates=1, refinement=0),
    "descent, refined longer": replace(DESCENT, steps=UNLIMITED, refinement=1),
}


@dataclass(frozen=True)
class Row:
    """A method's prompt for a picture, by every yardstick.

    `inner` is the similarity by the model that was searched on, `judges` those by the judges. By the last judge:
    `generated`, the mean similarity of the pictures that were drawn from the prompt, `rank`, the concept's place by the
    prompt, `style_match` and `background_match`; the same of what was drawn, as shares of the pictures. `meaning` is
    the similarity to what the concept is called, by the sentence encoder.
    """

    method: str
    picture: str
    held_out: bool
    prompt: str
    tokens: int
    inner: float
    judges: dict[str, float]
    generated: float
    rank: int
    style_match: bool
    background_match: bool
    generated_first: float
    generated_style: float
    generated_background: float
    meaning: float
    perplexity: float
    seconds: float


@dataclass(frozen=True)
class World(Miniature):
    """All that a process needs: the miniature world, and what asks a prompt's worth or finds one besides."""

    interrogator: Interrogator
    fluency: Fluency
    meaning: Meaning


@cache
def world(judges: tuple[str, ...], language_model: Path, sentence_encoder: Path) -> World:
    torch.set_num_threads(1)
    small = load_miniature(judges)
    invert(small.encoder, small.features[:1], SearchSettings(tokens=1))  # what the first search would be charged for
    parts = {field.name: getattr(small, field.name) for field in fields(small)}
    reader = {"fluency": Fluency(language_model), "meaning": Meaning(sentence_encoder)}
    return World(**parts, **reader, interrogator=Interrogator.load(small.encoder))


def caption(here: World, picture: int) -> str:
    """What the picture shows, as a person would say it."""
    return here.facts[picture]["caption"]


def other_caption(here: World, picture: int) -> str:
    """The caption of another picture of the same concept, in another style and on another background."""
    truth, fact, rng = here.judge.truth, here.facts[picture], random.Random(picture)
    style = rng.choice([name for name in truth.style_names if name != fact["style"]])
    colour = rng.choice([name for name in truth.background_names if name != fact["colour"]])
    return f"a {style} drawing of {fact['concept']} on a {colour} background"


def random_words(here: World, picture: int) -> str:
    """As many words of the vocabulary as a prompt of ours has tokens."""
    allowed = here.encoder.vocabulary.allowed_ids()
    places = torch.randint(len(allowed), (TOKENS,), generator=torch.Generator().manual_seed(picture))
    return here.encoder.vocabulary.decode(allowed[places].tolist())


def published(here: World, picture: int) -> str:
    """The best text of the published loop, written out plainly, each text judged as it reads back."""
    encoder, target, end = here.encoder, here.features[picture : picture + 1], time.monotonic() + SECONDS
    tower, allowed = encoder.tower, encoder.vocabulary.allowed_ids("all")
    start = allowed[torch.randint(len(allowed), (TOKENS,), generator=torch.Generator().manual_seed(picture))]
    settings = SearchSettings(tokens=TOKENS)
    best = Best(FeatureJudge(encoder, Match(target), settings), encoder.vocabulary, settings)
    for step in reference_pez(tower._text, target, start, tower.start_id, tower.end_id, allowed):
        score = torch.tensor([step.similarity])
        best.consider(Offer(torch.tensor([step.ids]), Verdict(score, score)))
        if time.monotonic() > end:
            return best.text
    raise AssertionError("the loop has no end of its own")


def interrogated(longest: int | None, here: World, picture: int) -> str:
    return here.interrogator.prompt(here.features[picture], SECONDS, longest)


class NoPrior:
    """Knows no phrase, and finds all texts equally likely."""

    def surprise(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        return torch.zeros(len(prompts))

    def phrases(self, count: int) -> Sequence[tuple[int, ...]]:
        return ()


def ours(settings: SearchSettings, here: World, picture: int, prior: Prior | None = None) -> str:
    target = here.features[picture : picture + 1]
    settings = replace(settings, seed=picture, time_budget=SECONDS)
    return invert(here.encoder, target, settings, prior=prior).text


def refined(method: Callable[[World, int], str], here: World, picture: int) -> str:
    """What becomes of another method's prompt when it is refined."""
    settings = SearchSettings(seed=picture, time_budget=SECONDS)
    return refine(here.encoder, method(here, picture), here.features[picture : picture + 1], settings).text


METHODS: dict[str, Callable[[World, int], str]] = {
    "captions": caption,
    "captions of another picture": other_caption,
    "published": published,
    "interrogator": partial(interrogated, None),
    "interrogator, as short": partial(interrogated, TOKENS),
    "random": random_words,
    **{name: partial(ours, settings) for name, settings in OURS.items()},
    "ours, without a prior": partial(ours, SearchSettings(), prior=NoPrior()),
    "refined from the descent": partial(refined, partial(ours, DESCENT)),
    "refined from a caption of another picture": partial(refined, other_caption),
}


def measured(method: str, picture: int, here: World) -> Row:
    """A method's prompt for a picture, by every yardstick."""
    began = time.monotonic()
    prompt = METHODS[method](here, picture)
    taken = time.monotonic() - began
    fact, judge = here.facts[picture], here.judge
    seen, said = judge.encoder.encode_images(here.drawn(prompt)), judge.encoder.encode_text(prompt)[0]
    return Row(
        method, fact["tile"], fact["held_out"], prompt, len(here.encoder.vocabulary.encode(prompt)),
        inner=(here.encoder.encode_text(prompt)[0] @ here.features[picture]).item(),
        judges={each.name: each.similarity(prompt, picture) for each in here.judges},
        generated=(seen @ judge.pictures[picture]).mean().item(),
        rank=judge.concept_rank(said, fact["concept"]),
        style_match=judge.style(said, picture) == fact["style"],
        background_match=judge.background(said, picture) == fact["colour"],
        generated_first=share(judge.concept_rank(each, fact["concept"]) == 1 for each in seen),
        generated_style=share(judge.style(each, picture) == fact["style"] for each in seen),
        generated_background=share(judge.background(each, picture) == fact["colour"] for each in seen),
        meaning=here.meaning.similarity(prompt, fact["concept"]),
        perplexity=here.fluency.perplexity(prompt),
        seconds=taken,
    )  # fmt: skip


def rows_of(picture: int, methods: list[str], *yardsticks) -> list[Row]:
    """All methods on a picture, in an order that is drawn, so that none always has the machine's quiet."""
    here = world(*yardsticks)
    drawn = random.Random(picture).sample(methods, len(methods))
    return [measured(method, picture, here) for method in drawn]


def chosen(facts: list[dict], quick: bool) -> list[int]:
    """All pictures, or a few of training concepts and of held-out ones."""
    if not quick:
        return list(range(len(facts)))
    held_out = [number for number, fact in enumerate(facts) if fact["held_out"]]
    return [*range(QUICK // 2), *held_out[: QUICK // 2]]


def run(options: argparse.Namespace) -> dict:
    """The rows that `options.json` holds, and those that it lacks."""
    judges = ON_THE_WAY if options.quick else (*ON_THE_WAY, FINAL)
    yardsticks = (judges, options.language_model, options.sentence_encoder)
    head = {
        **machine.facts(torch.device("cpu")), "threads": 1, "budget": SECONDS, "judges": list(judges),
        "language_model": options.language_model.name, "rows": [],
    }  # fmt: skip
    result, facts = resume.load(options.json, head), sheets.read(DATA, "worth").facts
    done = {(row["method"], row["picture"]) for row in result["rows"]}
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        jobs = []
        for picture in chosen(facts, options.quick):
            missing = [name for name in METHODS if (name, facts[picture]["tile"]) not in done]
            if missing:
                jobs.append(pool.submit(rows_of, picture, missing, *yardsticks))
        for job in as_completed(jobs):
            result["rows"] += [asdict(row) for row in job.result()]
            resume.save(options.json, result)
            for row in job.result():
                print(f"{row.picture} {row.method:42} {row.inner:6.3f} {row.generated:6.3f} {row.prompt}", flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worth", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--language-model", type=Path, required=True, help="for the perplexity: a folder, or a GGUF file"
    )
    parser.add_argument("--sentence-encoder", type=Path, required=True, help="for the meaning: a folder")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} pictures, without the judge {FINAL!r}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rows there, as they come")
    print(summary(run(parser.parse_args())))


if __name__ == "__main__":
    main()
