"""The paper's applications, by what the embedded generator draws (Wen et al. 2023, section 4).

    python -m benchmarks.applications [--quick] [--json FILE]

Style: words learned from four pictures in a style, put after new subjects, against the style's name in words. Concat:
the prompts of two pictures, joined, against their captions, joined. Distill: a long prompt shortened to shares of
itself; what is drawn from both, from the same noise. Every search has the default settings (*learned*), or no language
(*descent*), and `SECONDS`. What FILE holds already is not run again.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import torch

from benchmarks import machine, resume
from benchmarks.judging import FINAL, ON_THE_WAY
from benchmarks.miniature import Miniature, load_miniature, share
from benchmarks.tables.applications import summary
from pez_core import SearchSettings, concat, distill, invert, style

SECONDS = 8.0
STYLE_PICTURES, SUBJECTS = 4, 4
ROUNDS, QUICK = 12, 2
RATIOS = (0.7, 0.5, 0.3, 0.1)


@dataclass(frozen=True)
class Row:
    """What was drawn in one trial of an application, by one way of saying it.

    Shares of the drawn pictures, by the last judge: `named`, whose concept (for concat, each of the two) is among the
    first five; `style_match`, in the right style. `similarity` is that of the drawn pictures to the picture that is
    meant (for distill, to what is drawn from the whole prompt). None where an application does not ask.
    """

    application: str
    way: str
    trial: int
    prompt: str
    named: float
    style_match: float | None
    similarity: float | None


def style_rows(here: Miniature, trial: int) -> list[Row]:
    """A style's words on new subjects, and its name on the same."""
    rng, facts = random.Random(trial), here.facts
    name = here.judge.truth.style_names[trial % len(here.judge.truth.style_names)]
    known = [number for number, fact in enumerate(facts) if not fact["held_out"]]
    shown = rng.sample([number for number in known if facts[number]["style"] == name], STYLE_PICTURES)
    subjects = rng.sample([number for number in known if number not in shown], SUBJECTS)
    words = {
        way: style(here.encoder, here.features[shown], settings).text for way, settings in _settings(trial).items()
    }
    rows = []
    for way, said in {**words, "named": f"{name} drawing"}.items():
        named, styles = [], []
        for subject in subjects:
            concept = facts[subject]["concept"]
            seen = here.judge.encoder.encode_images(here.drawn(f"{concept} {said}"))
            named += [here.judge.concept_rank(one, concept) <= 5 for one in seen]
            styles += [here.judge.style(one, subject) == name for one in seen]
        rows.append(Row("style", way, trial, said, share(named), share(styles), None))
    return rows


def concat_rows(here: Miniature, trial: int) -> list[Row]:
    """Two pictures in one, by their learned prompts and by their captions."""
    known = [number for number, fact in enumerate(here.facts) if not fact["held_out"]]
    pair = random.Random(trial).sample(known, 2)
    ways = {
        way: [invert(here.encoder, here.features[picture : picture + 1], settings).text for picture in pair]
        for way, settings in _settings(trial).items()
    }
    ways["captions"] = [here.facts[picture]["caption"] for picture in pair]
    rows = []
    for way, prompts in ways.items():
        text = concat(here.encoder, prompts).text
        seen = here.judge.encoder.encode_images(here.drawn(text))
        both = [
            all(here.judge.concept_rank(one, here.facts[picture]["concept"]) <= 5 for picture in pair) for one in seen
        ]
        similarity = (seen @ here.judge.pictures[pair].T).mean().item()
        rows.append(Row("concat", way, trial, text, share(both), None, similarity))
    return rows


def distill_rows(here: Miniature, trial: int) -> list[Row]:
    """A long prompt and what is left of it, drawn from the same noise."""
    known = [number for number, fact in enumerate(here.facts) if not fact["held_out"]]
    fact = here.facts[random.Random(trial).choice(known)]
    whole = long_prompt(fact)
    texts = {"whole": whole}
    for ratio in RATIOS:
        for way, settings in _settings(trial).items():
            texts[f"{ratio}, {way}"] = distill(here.encoder, whole, settings, ratio).text
    seen = {way: here.judge.encoder.encode_images(here.drawn(text)) for way, text in texts.items()}
    return [
        Row(
            "distill", way, trial, texts[way],
            named=share(here.judge.concept_rank(one, fact["concept"]) <= 5 for one in features),
            style_match=None,
            similarity=(features * seen["whole"]).sum(1).mean().item(),
        )
        for way, features in seen.items()
    ]  # fmt: skip


def long_prompt(fact: dict) -> str:
    """A prompt as people pile them up: the caption, and then everything again in other words."""
    more = [*fact["keywords"], f"{fact['style']} drawing", f"{fact['colour']} background", "plain background", "emoji"]
    return ", ".join([fact["caption"], *more])


def _settings(trial: int) -> dict[str, SearchSettings]:
    """The default, and the same without language."""
    learned = SearchSettings(seed=trial, time_budget=SECONDS)
    return {"learned": learned, "descent": replace(learned, language=0.0)}


APPLICATIONS: dict[str, Callable[[Miniature, int], list[Row]]] = {
    "style": style_rows, "concat": concat_rows, "distill": distill_rows
}  # fmt: skip


@cache
def _here(judges: tuple[str, ...]) -> Miniature:
    torch.set_num_threads(1)
    return load_miniature(judges)


def rows_of(application: str, trial: int, judges: tuple[str, ...]) -> list[Row]:
    return APPLICATIONS[application](_here(judges), trial)


def run(options: argparse.Namespace) -> dict:
    """The rows that `options.json` holds, and those that it lacks."""
    judges = ON_THE_WAY if options.quick else (*ON_THE_WAY, FINAL)
    head = {**machine.facts(torch.device("cpu")), "threads": 1, "budget": SECONDS, "judge": judges[-1], "rows": []}
    result = resume.load(options.json, head)
    done = {(row["application"], row["trial"]) for row in result["rows"]}
    trials = [(name, trial) for name in APPLICATIONS for trial in range(QUICK if options.quick else ROUNDS)]
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        for job in as_completed([pool.submit(rows_of, *trial, judges) for trial in trials if trial not in done]):
            result["rows"] += [asdict(row) for row in job.result()]
            resume.save(options.json, result)
            for row in job.result():
                print(f"{row.application:8} {row.way:13} {row.named:5.2f} {row.prompt}", flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.applications", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} trials of each, without the judge {FINAL!r}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rows there, as they come")
    print(summary(run(parser.parse_args())))


if __name__ == "__main__":
    main()
