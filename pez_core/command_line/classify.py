"""pez classify fit | eval | transfer."""

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from .. import language
from ..errors import PezError
from ..language.methods import METHODS, TEMPLATE_ONLY
from .options import add_command, chosen, output_options, settings_options
from .progress import shown

RESULT = "result.json"
PATTERN = language.Template().pattern


def add(commands: Any) -> None:
    """The command `classify` among the others."""
    classify = commands.add_parser("classify", help="prompts that make a language model classify text")
    parts = classify.add_subparsers(dest="part", required=True, metavar="COMMAND")
    shared = (_model_options, output_options)

    learned = (*shared, partial(settings_options, language.FitSettings()), _fit_options)
    command = add_command(parts, "fit", "learn a prompt", partial(_checked, _fit), *learned)
    command.add_argument("--train", type=Path, required=True, metavar="FILE", help="TSV or CSV file with examples")
    command.add_argument("--dev", type=Path, metavar="FILE", help="examples to choose by (default: some of --train)")
    command.add_argument("--few-shot", type=int, metavar="K", help="train on K examples per class, choose by K more")
    command.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="for the result and checkpoints")

    scored = (*shared, _data_options)
    command = add_command(parts, "eval", "the accuracy of a prompt", partial(_checked, _evaluate), *scored)
    which = command.add_mutually_exclusive_group(required=True)
    which.add_argument("--prompt", help="a prompt in plain text; may be empty")
    which.add_argument("--from", dest="source", type=Path, metavar="FOLDER", help="a folder that fit wrote")

    command = add_command(parts, "transfer", "learned prompts on another model", partial(_checked, _transfer), *scored)
    command.add_argument("--from", dest="source", type=Path, required=True, metavar="FOLDER")
    command.add_argument("--best", type=int, default=5, metavar="N", help="how many prompts, best first (default 5)")


def _model_options(options: argparse.ArgumentParser) -> None:
    options.add_argument("--model", type=Path, required=True, metavar="FOLDER", help="safetensors folder, or GGUF file")
    text = "name or number of the text; several are joined"
    options.add_argument("--text", nargs="+", default=["1"], metavar="COLUMN", help=text)
    options.add_argument("--label", default="2", metavar="COLUMN", help="name or number of the class (default 2)")
    options.add_argument("--verbalizer", metavar="WORDS", help="class=word pairs, such as 0=terrible,1=great")
    options.add_argument("--template", metavar="PATTERN", help=f"such as {PATTERN!r}")


def _data_options(options: argparse.ArgumentParser) -> None:
    options.add_argument("--data", type=Path, required=True, metavar="FILE")
    options.add_argument("--limit", type=int, metavar="N", help="on N examples, as many of each class as can be")


def _fit_options(options: argparse.ArgumentParser) -> None:
    options.add_argument("--method", choices=(*METHODS, TEMPLATE_ONLY))
    options.add_argument("--batch", type=int, help="examples per step")
    options.add_argument("--fluency", type=float, metavar="LAMBDA", help="weight of fluency, 0 to 1")


def _checked(answer: Callable[[argparse.Namespace], str], options: argparse.Namespace) -> int:
    """Print the answer. Raises PezError for an input that cannot be used."""
    for name in ("few_shot", "limit", "best"):
        count = getattr(options, name, None)
        if count is not None and count < 1:
            raise PezError(f"{name.replace('_', '-')} is {count}; choose 1 or more.")
    print(answer(options))
    return 0


def _fit(options: argparse.Namespace) -> str:
    settings = chosen(language.FitSettings, options)
    pattern, words = options.template or PATTERN, _given(options.verbalizer)
    load = partial(language.load_language_model, options.model, options.device)
    with shown(settings.steps) as on_step:
        found = language.fit_file(
            load, options.train, options.text, options.label, pattern, words, settings,
            options.few_shot, options.dev, options.out, on_step,
        )  # fmt: skip
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / RESULT).write_text(found.to_json() + "\n", encoding="utf-8")
    if options.json:
        return found.to_json()
    lines = [found.text, f"accuracy {found.accuracy:.3f} on {found.validated_on} examples to choose by", *_cut(found)]
    if 0 < found.steps < settings.steps and settings.time_budget is None:
        lines.append(f"stopped after {found.steps} of {settings.steps} steps; the same command goes on")
    return "\n".join(lines)


def _evaluate(options: argparse.Namespace) -> str:
    source = _read_result(options.source) if options.source else None
    classifier, examples = _classifier_and_examples(options, source)
    found = language.evaluate(classifier, source.text if source else options.prompt, examples)
    return json.dumps(asdict(found), ensure_ascii=False) if options.json else _described(found)


def _transfer(options: argparse.Namespace) -> str:
    source = _read_result(options.source)
    classifier, examples = _classifier_and_examples(options, source)
    found = language.transfer(classifier, [ranked.text for ranked in source.ranked[: options.best]], examples)
    if options.json:
        return json.dumps([asdict(evaluation) for evaluation in found], ensure_ascii=False)
    return "\n\n".join(map(_described, found))


def _described(found: language.Evaluation) -> str:
    lines = [
        found.prompt or "(no prompt)",
        f"accuracy {found.accuracy:.3f}, calibrated {found.calibrated:.3f}, on {found.examples} examples",
    ]
    if found.perplexity is not None:
        lines.append(f"perplexity of the prompt {found.perplexity:.1f}")
    return "\n".join([*lines, *_cut(found)])


def _cut(found: language.Evaluation | language.ClassificationResult) -> list[str]:
    return [f"{found.cut} texts were longer than the model's context and were cut"] if found.cut else []


def _classifier_and_examples(
    options: argparse.Namespace, source: language.ClassificationResult | None
) -> tuple[language.Classifier, language.Examples]:
    verbalizer = language.Verbalizer.parse(_given(options.verbalizer or (source.verbalizer if source else None)))
    template = language.Template(options.template or (source.template if source else PATTERN))
    examples = language.read_examples(options.data, options.text, options.label, verbalizer.classes)
    if options.limit is not None:
        examples, _ = language.split(examples, options.limit, 0)
    model = language.load_language_model(options.model, options.device)
    return language.Classifier(model, template, verbalizer), examples


def _given(verbalizer: str | None) -> str:
    if not verbalizer:
        raise PezError("verbalizer is missing; give one such as --verbalizer 0=terrible,1=great.")
    return verbalizer


def _read_result(folder: Path) -> language.ClassificationResult:
    path = folder / RESULT if folder.is_dir() else folder
    try:
        return language.ClassificationResult.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PezError(f"result {str(path)!r} cannot be read; give a folder that classify fit wrote.") from error
