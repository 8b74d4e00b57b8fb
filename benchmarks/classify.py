"""Prompts for classification: every method at the same wall-clock, and a step against a straightforward one.

    python -m benchmarks.classify --model FOLDER --data FOLDER [--quick] [--json FILE]

`--model` is a folder or GGUF file of a causal language model; `--data` a folder with sst2, ag_news and few_shot. Every
learned prompt gets `--seconds`; the texts are read before that, once for all methods. Rows that FILE holds already are
not run again, so an interrupted run continues where it stopped.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import machine, resume
from benchmarks.tables.classify import methods
from pez_core.language import (
    Classifier,
    Examples,
    FitSettings,
    Template,
    Verbalizer,
    evaluate,
    few_shot,
    fit,
    load_language_model,
    read_examples,
    split,
)
from pez_core.language.classifier import TokenisedExamples
from pez_core.language.judge import ClassificationJudge

METHODS = ("template", "pez", "pez+refine", "autoprompt", "fluentprompt", "soft")
SIZES = (None, 16, 4)
SPLITS = (13, 21, 42)
FLUENT = (0.003, 0.01)
POOL, VALIDATION, TEST = 256, 64, 400
DEFAULT = FitSettings()
LEARNING_RATES = {"fluentprompt": 3.0, "soft": 0.3}
VALIDATE_EVERY = {"pez+refine": 5, "autoprompt": 5, "fluentprompt": 5}
UNLIMITED = 10**6
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Kind:
    """A task: its words, its template, and where its few examples lie."""

    name: str
    verbalizer: Verbalizer
    template: Template
    few_shot_folder: str
    few_shot_text: str
    few_shot_classes: tuple[str, ...]


KINDS = (
    Kind(
        "sst2",
        Verbalizer({"0": ("terrible",), "1": ("great",)}),
        Template("{text} {prompt} It was {label}"),
        "sst-2",
        "sentence",
        ("0", "1"),
    ),
    Kind(
        "ag_news",
        Verbalizer({"1": ("World",), "2": ("Sports",), "3": ("Business",), "4": ("Technology",)}),
        Template("{text} {prompt} Topic: {label}"),
        "agnews",
        "text",
        ("0", "1", "2", "3"),
    ),
)


@dataclass(frozen=True)
class Row:
    """What one method learned, on the held-out examples; `examples_per_class` is None for all the data."""

    model: str
    method: str
    task: str
    examples_per_class: int | None
    seed: int
    fluency: float
    accuracy: float
    calibrated: float
    median: float
    validation: float
    prompt: str
    perplexity: float | None
    steps: int
    seconds: float


def whole_data(kind: Kind, data: Path) -> tuple[Examples, Examples, Examples]:
    """Training, validation and test examples; AG News has one file, split by a fixed seed."""
    classes = kind.verbalizer.classes
    if kind.name == "ag_news":
        everything = read_examples(data / "ag_news" / "test.csv", ["2", "3"], "1", classes)
        test, rest = split(everything, TEST, 0)
        validation, train = split(rest, VALIDATION, 0)
        return train, validation, test
    train, validation, test = (
        read_examples(data / "sst2" / f"{name}.tsv", ["1"], "2", classes) for name in ("train", "dev", "test")
    )
    return train, split(validation, VALIDATION, 0)[0], split(test, TEST, 0)[0]


def part(kind: Kind, data: Path, count: int | None, number: int) -> tuple[Examples, Examples]:
    """Training and validation examples of one seed: a pool of all the data, or `count` of each class for both."""
    if count is None:
        train, validation, _ = whole_data(kind, data)
        return split(train, POOL, number)[0], validation
    folder = data / "few_shot" / kind.few_shot_folder / f"16-{SPLITS[number]}"
    train, validation = (
        read_examples(folder / f"{name}.tsv", [kind.few_shot_text], "label", kind.few_shot_classes)
        for name in ("train", "dev")
    )
    return tuple(few_shot(some, count, kind.verbalizer.classes, number) for some in (train, validation))  # type: ignore


Cell = tuple[Kind, int | None, int, str, float]


def wanted(kinds: list[Kind], sizes: tuple[int | None, ...], seeds: int) -> Iterator[Cell]:
    """Every cell of the table, and PEZ with fluency on all the data."""
    for kind in kinds:
        for count in sizes:
            for number in range(seeds):
                for method in METHODS:
                    if method != "template" or (count is None and number == 0):
                        yield kind, count, number, method, 0.0
                if count is None:
                    yield from ((kind, count, number, "pez", weight) for weight in FLUENT)


def run(
    classifier: Classifier, kind: Kind, data: Path, test: Examples, count: int | None, number: int, method: str,
    fluency: float, seconds: float,
) -> Row:  # fmt: skip
    """Learn one prompt, and score its text."""
    train, validation = part(kind, data, count, number)
    for some in (train, validation):
        classifier.model.prefixes(classifier.tokenised(some, DEFAULT.tokens).heads)
    settings = FitSettings(
        method=method,
        steps=UNLIMITED,
        fluency=fluency,
        validate_every=VALIDATE_EVERY.get(method, DEFAULT.validate_every),
        seed=number,
        learning_rate=LEARNING_RATES.get(method, DEFAULT.learning_rate),
        time_budget=seconds,
    )
    began = time.monotonic()
    found = fit(classifier, train, validation, settings)
    taken = time.monotonic() - began
    scored = evaluate(classifier, found.text if found.soft is None else found.soft, test)
    return Row(
        classifier.model.name, method, kind.name, count, number, fluency, scored.accuracy, scored.calibrated,
        scored.median, found.accuracy, found.text, scored.perplexity, found.steps, taken,
    )  # fmt: skip


def straightforward(
    classifier: Classifier, examples: TokenisedExamples, ids: Tensor, longest: int
) -> tuple[Tensor, Tensor]:
    """The loss and its gradient (M, D) as one would write it at first: whole texts, padded alike, all logits."""
    model = classifier.model
    whole = [[*head, *ids.tolist(), *tail] for head, tail in zip(examples.heads, examples.tails)]
    padded = torch.tensor([row + [0] * (longest - len(row)) for row in whole])
    seen = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in whole])
    prompt = model.embed(ids).detach().requires_grad_(True)
    embedded = model.embed(padded)
    embedded = torch.stack(
        [
            torch.cat([row[: len(head)], prompt, row[len(head) + len(ids) :]])
            for row, head in zip(embedded, examples.heads)
        ]
    )
    logits = model.transformers_model(inputs_embeds=embedded, attention_mask=seen).logits
    last = logits[torch.arange(len(whole)), torch.tensor([len(row) - 1 for row in whole])]
    words = torch.tensor([word[0] for _, word in classifier.label_ids])
    loss = F.cross_entropy(last[:, words], torch.tensor(examples.labels))
    return loss.detach(), torch.autograd.grad(loss, prompt)[0]


def speed(classifier: Classifier, train: Examples, rounds: int) -> dict[str, float]:
    """Seconds per step, of ours with texts already read, ours reading them anew, and the straightforward one."""
    examples = classifier.tokenised(train, DEFAULT.tokens)
    longest = max(len(head) + DEFAULT.tokens + len(tail) for head, tail in zip(examples.heads, examples.tails))
    batch = examples.take(range(DEFAULT.batch))
    judge = ClassificationJudge(classifier, batch, len(batch), 0.0)
    ids = classifier.model.vocabulary.allowed_ids("ascii words")[torch.randint(1000, (1, DEFAULT.tokens))]
    verdict, gradient = judge.with_gradient(ids)
    loss, wanted_gradient = straightforward(classifier, batch, ids[0], longest)
    difference = (gradient[0] - wanted_gradient).abs().max() / wanted_gradient.abs().max()
    if abs(verdict.score.item() + loss.item()) > 1e-3 or difference > 1e-2:
        raise AssertionError(
            f"results differ: loss {-verdict.score.item()} and {loss.item()}, gradient by {difference}"
        )

    def unread() -> None:
        classifier.model.prefixes.forget()
        judge.with_gradient(ids)

    taken = machine.in_turn(
        {
            "ours": lambda: judge.with_gradient(ids),
            "ours, texts unread": unread,
            "straightforward": lambda: straightforward(classifier, batch, ids[0], longest),
        },
        rounds,
        CPU,
    )
    return {**taken, "padded_to": longest, "gradient_difference": difference.item()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.classify", description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, metavar="FOLDER", help="safetensors folder, or GGUF file")
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="with sst2, ag_news and few_shot")
    parser.add_argument("--tasks", nargs="+", choices=[kind.name for kind in KINDS], help="only these")
    parser.add_argument("--seconds", type=float, default=40, help="for each learned prompt (default 40)")
    parser.add_argument("--quick", action="store_true", help="one seed, four examples of each class, 5 seconds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rows there, after each of them")
    options = parser.parse_args()
    sizes, seeds, seconds = ((4,), 1, 5.0) if options.quick else (SIZES, len(SPLITS), options.seconds)
    model = load_language_model(options.model)
    kinds = [kind for kind in KINDS if not options.tasks or kind.name in options.tasks]
    classifiers = {kind.name: Classifier(model, kind.template, kind.verbalizer) for kind in kinds}
    head = {**machine.facts(CPU), "threads": torch.get_num_threads(), "seconds": seconds}
    result = resume.load(options.json, {"head": head, "speed": {}, "rows": []})
    speeds = result["speed"]
    for kind in kinds:
        if kind.name not in speeds:
            train, _ = part(kind, options.data, None, 0)
            speeds[kind.name] = speed(classifiers[kind.name], train, 2 if options.quick else 5)
        ours, theirs = speeds[kind.name]["ours"], speeds[kind.name]["straightforward"]
        print(f"{kind.name}: a step {ours:.2f} s, straightforward {theirs:.2f} s: {theirs / ours:.1f} x", flush=True)
    names = ("task", "examples_per_class", "seed", "method", "fluency")
    done = {tuple(row[name] for name in names) for row in result["rows"]}
    for kind, count, number, method, fluency in wanted(kinds, sizes, seeds):
        if (kind.name, count, number, method, fluency) in done:
            continue
        test = whole_data(kind, options.data)[2]
        row = run(classifiers[kind.name], kind, options.data, test, count, number, method, fluency, seconds)
        result["rows"].append(asdict(row))
        resume.save(options.json, result)
        print(
            f"{row.task:8} {count or 'all':>4} {number} {method:13} {fluency:g} {row.accuracy:.3f} {row.prompt!r}",
            flush=True,
        )
    print(methods(result))


if __name__ == "__main__":
    main()
