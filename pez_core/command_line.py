"""The command line: python -m pez_core invert | style | negative | distill | concat | score | classify."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from . import tasks
from .conditioning import CONDITIONING, MODES, POOLED, conditioning_encoder
from .encoder import EMBEDDED, Encoder, load_encoder
from .errors import PezError
from .hard_prompt import HardPrompt, SearchSettings
from .language import command_line as language_commands
from .pictures import open_pictures
from .progress import shown
from .search import Progress
from .vocabulary import TOKEN_FILTERS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it printed a prompt, 2 when an input was refused."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "classify":
            print(language_commands.run(options))
            return 0
        result = _run(options)
    except PezError as error:
        print(f"pez_core: {error}", file=sys.stderr)
        return 2
    for note in result.notes:
        print(f"pez_core: {note}", file=sys.stderr)
    print(result.to_json() if options.json else f"{result.text}\nsimilarity {result.similarity:.3f}")
    return 0


def _run(options: argparse.Namespace) -> HardPrompt:
    pictures = open_pictures(options.pictures) if "pictures" in options else []
    settings = _settings(options) if "steps" in options else SearchSettings()
    encoder = load_encoder(options.model, options.pretrained, options.device)
    if options.command == "concat":
        return tasks.concat(encoder, options.prompts, options.separator)
    if options.command == "score":
        return tasks.score(encoder, options.text, encoder.encode_images(pictures))
    with shown(settings.total_steps, _described) as on_step:
        if options.command == "distill":
            ratio = None if options.tokens else options.ratio
            encoder = conditioning_encoder(encoder) if options.mode == CONDITIONING else encoder
            return tasks.distill(encoder, options.prompt, settings, ratio, on_step=on_step)
        task = {"invert": tasks.invert, "style": tasks.style, "negative": tasks.negative}[options.command]
        others = _features(encoder, options.others)
        return task(encoder, encoder.encode_images(pictures), settings, others, on_step=on_step)


def _described(progress: Progress) -> str:
    return f"{progress.similarity:.3f}  {progress.text}"


def _features(encoder: Encoder, paths: list[Path] | None) -> torch.Tensor | None:
    return encoder.encode_images(open_pictures(paths)) if paths else None


def _settings(options: argparse.Namespace) -> SearchSettings:
    default = SearchSettings()
    return SearchSettings(
        tokens=default.tokens if options.tokens is None else options.tokens,
        steps=options.steps,
        candidates=options.candidates,
        refinement=options.refinement,
        seed=options.seed,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        token_filter=options.token_filter,
        word_preference=options.word_preference,
        blocklist=tuple(options.block),
        batch=options.batch,
        prefix=options.prefix,
        suffix=options.suffix,
        time_budget=options.time_budget,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pez_core", description="Find short text prompts by gradient descent."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    model, search = _model_options(), _search_options()

    for name, text, others in (
        ("invert", "words for what pictures show", "--avoid"),
        ("style", "words for what pictures share", "--avoid"),
        ("negative", "words for what pictures should not look like", "--keep"),
    ):
        command = commands.add_parser(name, help=text, parents=[search, model])
        command.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE")
        command.add_argument(
            others, dest="others", nargs="+", type=Path, metavar="PICTURE", help="pictures that the words must not fit"
        )

    command = commands.add_parser("distill", help="a shorter prompt that means the same", parents=[search, model])
    command.add_argument("prompt")
    command.add_argument(
        "--ratio", type=float, default=tasks.RATIO, help="share of the tokens to keep, unless --tokens is given"
    )
    command.add_argument(
        "--mode", choices=MODES, default=POOLED, help="what is to stay the same: pooled feature, or token states"
    )

    command = commands.add_parser("concat", help="put prompts together", parents=[model])
    command.add_argument("prompts", nargs="+", metavar="PROMPT")
    command.add_argument("--separator", default=tasks.SEPARATOR, help="what stands between two prompts")

    command = commands.add_parser("score", help="similarity of a text to pictures", parents=[model])
    command.add_argument("text")
    command.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE")

    language_commands.add(commands)
    return parser


def _model_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--model", default=EMBEDDED, help="open_clip model name (default: the embedded model)")
    options.add_argument("--pretrained", help="pretrained tag that open_clip knows, or a safetensors file")
    options.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options.add_argument("--json", action="store_true", help="print the whole result as one line of JSON")
    return options


def _search_options() -> argparse.ArgumentParser:
    default = SearchSettings()
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--tokens", type=int, help=f"length of the prompt (default {default.tokens})")
    options.add_argument("--steps", type=int, default=default.steps)
    options.add_argument("--candidates", type=int, default=default.candidates, help="searches run together")
    options.add_argument(
        "--batch",
        type=int,
        metavar="PICTURES",
        help=f"pictures drawn per step (default all, style {tasks.STYLE_BATCH})",
    )
    options.add_argument(
        "--refinement",
        type=float,
        default=default.refinement,
        metavar="ROUNDS",
        help=f"rounds of token swaps afterwards, per step (default {default.refinement})",
    )
    options.add_argument("--seed", type=int, default=default.seed)
    options.add_argument("--learning-rate", type=float, default=default.learning_rate)
    options.add_argument("--weight-decay", type=float, default=default.weight_decay)
    options.add_argument("--token-filter", choices=TOKEN_FILTERS, default=default.token_filter)
    options.add_argument(
        "--word-preference",
        type=float,
        default=default.word_preference,
        metavar="COSINE",
        help="how much nearer than a word a fragment must be",
    )
    options.add_argument(
        "--block", action="append", default=[], metavar="PHRASE", help="words never to use; repeatable"
    )
    options.add_argument("--prefix", default="", help="fixed text before the learned words")
    options.add_argument("--suffix", default="", help="fixed text after the learned words")
    options.add_argument("--time-budget", type=float, metavar="SECONDS")
    return options
