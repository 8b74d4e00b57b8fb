"""Commands on CLIP: invert, style, negative, distill, concat, score."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch

from .. import tasks
from ..encoders import load_encoder
from ..encoders.conditioning import CONDITIONING, MODES, POOLED, conditioning_encoder
from ..encoders.embedded import EMBEDDED
from ..encoders.encoder import Encoder
from ..encoders.pictures import open_pictures
from ..hard_prompt import HardPrompt
from ..settings import SearchSettings
from .options import chosen, output_options, settings_options
from .progress import shown


def add(commands: Any) -> None:
    """The commands among the others."""
    model, search = [_model_options(), output_options()], [settings_options(SearchSettings()), _search_options()]
    for name, text, others in (
        ("invert", "words for what pictures show", "--avoid"),
        ("style", "words for what pictures share", "--avoid"),
        ("negative", "words for what pictures should not look like", "--keep"),
    ):
        command = _command(commands, name, text, [*search, *model])
        command.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE")
        command.add_argument(
            others, dest="others", nargs="+", type=Path, metavar="PICTURE", help="pictures that the words must not fit"
        )

    command = _command(commands, "distill", "a shorter prompt that means the same", [*search, *model])
    command.add_argument("prompt")
    command.add_argument(
        "--ratio", type=float, default=tasks.RATIO, help="share of the tokens to keep, unless --tokens is given"
    )
    command.add_argument(
        "--mode", choices=MODES, default=POOLED, help="what is to stay the same: pooled feature, or token states"
    )

    command = _command(commands, "concat", "put prompts together", model)
    command.add_argument("prompts", nargs="+", metavar="PROMPT")
    command.add_argument("--separator", default=tasks.SEPARATOR, help="what stands between two prompts")

    command = _command(commands, "score", "similarity of a text to pictures", model)
    command.add_argument("text")
    command.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE")


def _command(commands: Any, name: str, text: str, parents: list[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=text, parents=parents)
    command.set_defaults(run=_run)
    return command


def _run(options: argparse.Namespace) -> str:
    """What the command prints; what people should know of it goes to standard error."""
    result = _result(options)
    for note in result.notes:
        print(f"pez: {note}", file=sys.stderr)
    return result.to_json() if options.json else f"{result.text}\nsimilarity {result.similarity:.3f}"


def _result(options: argparse.Namespace) -> HardPrompt:
    pictures = open_pictures(options.pictures) if "pictures" in options else []
    settings = chosen(SearchSettings, options) if "steps" in options else SearchSettings()
    encoder = load_encoder(options.model, options.pretrained, options.device)
    if options.command == "concat":
        return tasks.concat(encoder, options.prompts, options.separator)
    if options.command == "score":
        return tasks.score(encoder, options.text, encoder.encode_images(pictures))
    with shown(settings.total_steps) as on_step:
        if options.command == "distill":
            ratio = None if options.tokens else options.ratio
            encoder = conditioning_encoder(encoder) if options.mode == CONDITIONING else encoder
            return tasks.distill(encoder, options.prompt, settings, ratio, on_step=on_step)
        task = {"invert": tasks.invert, "style": tasks.style, "negative": tasks.negative}[options.command]
        others = _features(encoder, options.others)
        return task(encoder, encoder.encode_images(pictures), settings, others, on_step=on_step)


def _features(encoder: Encoder, paths: list[Path] | None) -> torch.Tensor | None:
    return encoder.encode_images(open_pictures(paths)) if paths else None


def _model_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--model", default=EMBEDDED, help="open_clip model name (default: the embedded model)")
    options.add_argument("--pretrained", help="pretrained tag that open_clip knows, or a safetensors file")
    return options


def _search_options() -> argparse.ArgumentParser:
    default = SearchSettings()
    options = argparse.ArgumentParser(add_help=False)
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
    options.add_argument("--weight-decay", type=float, default=default.weight_decay)
    options.add_argument(
        "--word-preference",
        type=float,
        default=default.word_preference,
        metavar="COSINE",
        help="how much nearer than a word a fragment must be",
    )
    options.add_argument("--prefix", default="", help="fixed text before the learned words")
    options.add_argument("--suffix", default="", help="fixed text after the learned words")
    return options
