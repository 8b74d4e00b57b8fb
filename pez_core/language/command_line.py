"""python -m pez_core classify fit | eval | transfer."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ..errors import PezError
from ..progress import shown
from ..vocabulary import TOKEN_FILTERS
from .data import Examples, few_shot, parted, read_examples, split
from .evaluation import Evaluation, evaluate, transfer
from .fit import ClassificationPrompt, FitProgress, FitSettings, fit
from .loading import load_language_model
from .methods import METHODS, TEMPLATE_ONLY
from .task import Task
from .template import Template
from .verbalizer import Verbalizer

RESULT = "result.json"


def add(commands: Any) -> None:
    """The command `classify` among the others."""
    classify = commands.add_parser("classify", help="prompts that make a language model classify text")
    parts = classify.add_subparsers(dest="part", required=True, metavar="COMMAND")
    model, columns = _model_options(), _column_options()

    command = parts.add_parser("fit", help="learn a prompt", parents=[model, columns, _fit_options()])
    command.add_argument("--train", type=Path, required=True, metavar="FILE", help="TSV or CSV file with examples")
    command.add_argument("--dev", type=Path, metavar="FILE", help="examples to choose by (default: some of --train)")
    command.add_argument("--few-shot", type=int, metavar="K", help="train on K examples per class, choose by K more")
    command.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="for the result and checkpoints")

    command = parts.add_parser("eval", help="the accuracy of a prompt", parents=[model, columns])
    command.add_argument("--data", type=Path, required=True, metavar="FILE")
    command.add_argument("--limit", type=int, metavar="N", help="on N examples, as many of each class as can be")
    which = command.add_mutually_exclusive_group(required=True)
    which.add_argument("--prompt", help="a prompt in plain text; may be empty")
    which.add_argument("--from", dest="source", type=Path, metavar="FOLDER", help="a folder that fit wrote")

    command = parts.add_parser("transfer", help="learned prompts on another model", parents=[model, columns])
    command.add_argument("--data", type=Path, required=True, metavar="FILE")
    command.add_argument("--limit", type=int, metavar="N", help="on N examples, as many of each class as can be")
    command.add_argument("--from", dest="source", type=Path, required=True, metavar="FOLDER")
    command.add_argument("--best", type=int, default=5, metavar="N", help="how many prompts, best first (default 5)")


def run(options: argparse.Namespace) -> str:
    """What the command prints. Raises PezError for an input that cannot be used."""
    for name in ("few_shot", "limit", "best"):
        count = getattr(options, name, None)
        if count is not None and count < 1:
            raise PezError(f"{name.replace('_', '-')} is {count}; choose 1 or more.")
    return {"fit": _fit, "eval": _evaluate, "transfer": _transfer}[options.part](options)


def _fit(options: argparse.Namespace) -> str:
    verbalizer, template, settings = (
        _verbalizer(options.verbalizer),
        Template(options.template or Template().pattern),
        _settings(options),
    )
    train, validation = _training_data(options, verbalizer)
    task = Task(load_language_model(options.model, options.device), template, verbalizer)
    with shown(settings.steps, _progress) as on_step:
        found = fit(task, train, validation, settings, options.out, on_step)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / RESULT).write_text(found.to_json() + "\n", encoding="utf-8")
    if options.json:
        return found.to_json()
    lines = [found.text, f"accuracy {found.accuracy:.3f} on {len(validation)} examples to choose by"]
    if found.cut:
        lines.append(f"{found.cut} texts were longer than the model's context and were cut")
    if found.steps < settings.steps and settings.time_budget is None:
        lines.append(f"stopped after {found.steps} of {settings.steps} steps; the same command goes on")
    return "\n".join(lines)


def _evaluate(options: argparse.Namespace) -> str:
    source = _read_result(options.source) if options.source else None
    task, examples = _task_and_examples(options, source)
    found = evaluate(task, source.text if source else options.prompt, examples)
    return json.dumps(asdict(found), ensure_ascii=False) if options.json else _described(found)


def _transfer(options: argparse.Namespace) -> str:
    source = _read_result(options.source)
    task, examples = _task_and_examples(options, source)
    found = transfer(task, [ranked.text for ranked in source.ranked[: options.best]], examples)
    if options.json:
        return json.dumps([asdict(evaluation) for evaluation in found], ensure_ascii=False)
    return "\n\n".join(map(_described, found))


def _progress(progress: FitProgress) -> str:
    return f"{progress.accuracy:.3f}  {progress.text}"


def _described(found: Evaluation) -> str:
    lines = [
        found.prompt or "(no prompt)",
        f"accuracy {found.accuracy:.3f}, calibrated {found.calibrated:.3f}, on {found.examples} examples",
    ]
    if found.perplexity is not None:
        lines.append(f"perplexity of the prompt {found.perplexity:.1f}")
    if found.cut:
        lines.append(f"{found.cut} texts were longer than the model's context and were cut")
    return "\n".join(lines)


def _task_and_examples(options: argparse.Namespace, source: ClassificationPrompt | None) -> tuple[Task, Examples]:
    verbalizer = _verbalizer(options.verbalizer or (source.verbalizer if source else None))
    pattern = options.template or (source.template if source else Template().pattern)
    examples = read_examples(options.data, options.text, options.label, verbalizer.classes)
    if options.limit is not None:
        examples, _ = split(examples, options.limit, 0)
    return Task(load_language_model(options.model, options.device), Template(pattern), verbalizer), examples


def _verbalizer(text: str | None) -> Verbalizer:
    if not text:
        raise PezError("verbalizer is missing; give one such as --verbalizer 0=terrible,1=great.")
    return Verbalizer.parse(text)


def _read_result(folder: Path) -> ClassificationPrompt:
    path = folder / RESULT if folder.is_dir() else folder
    try:
        return ClassificationPrompt.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PezError(f"result {str(path)!r} cannot be read; give a folder that classify fit wrote.") from error


def _training_data(options: argparse.Namespace, verbalizer: Verbalizer) -> tuple[Examples, Examples]:
    classes, count, seed = verbalizer.classes, options.few_shot, options.seed
    train = read_examples(options.train, options.text, options.label, classes)
    if not options.dev:
        return parted(train, classes, count, seed)
    rest = read_examples(options.dev, options.text, options.label, classes)
    if count is None:
        few_shot(train, 1, classes, seed)
        return train, rest
    return few_shot(train, count, classes, seed), few_shot(rest, count, classes, seed)


def _settings(options: argparse.Namespace) -> FitSettings:
    return FitSettings(
        method=options.method,
        tokens=options.tokens,
        steps=options.steps,
        candidates=options.candidates,
        batch=options.batch,
        fluency=options.fluency,
        seed=options.seed,
        learning_rate=options.learning_rate,
        token_filter=options.token_filter,
        blocklist=tuple(options.block),
        time_budget=options.time_budget,
    )


def _model_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--model", type=Path, required=True, metavar="FOLDER", help="safetensors folder, or GGUF file")
    options.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options.add_argument("--json", action="store_true", help="print the whole result as one line of JSON")
    return options


def _column_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument(
        "--text", nargs="+", default=["1"], metavar="COLUMN", help="name or number of the text; several are joined"
    )
    options.add_argument("--label", default="2", metavar="COLUMN", help="name or number of the class (default 2)")
    options.add_argument("--verbalizer", metavar="WORDS", help="class=word pairs, such as 0=terrible,1=great")
    options.add_argument("--template", metavar="PATTERN", help=f"such as {Template().pattern!r}")
    return options


def _fit_options() -> argparse.ArgumentParser:
    default = FitSettings()
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--method", choices=(*METHODS, TEMPLATE_ONLY), default=default.method)
    options.add_argument("--tokens", type=int, default=default.tokens, help=f"length (default {default.tokens})")
    options.add_argument("--steps", type=int, default=default.steps)
    options.add_argument("--candidates", type=int, default=default.candidates, help="searches run together")
    options.add_argument("--batch", type=int, default=default.batch, help="examples per step")
    options.add_argument(
        "--fluency", type=float, default=default.fluency, metavar="LAMBDA", help="weight of fluency, 0 to 1"
    )
    options.add_argument("--seed", type=int, default=default.seed)
    options.add_argument("--learning-rate", type=float, default=default.learning_rate)
    options.add_argument("--token-filter", choices=TOKEN_FILTERS, default=default.token_filter)
    options.add_argument("--block", action="append", default=[], metavar="PHRASE", help="words never to use")
    options.add_argument("--time-budget", type=float, metavar="SECONDS")
    return options
