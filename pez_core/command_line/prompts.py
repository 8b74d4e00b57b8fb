"""Commands on CLIP: invert, style, negative, distill, concat, score."""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

from .. import tasks
from ..encoders import load_encoder
from ..encoders.conditioning import CONDITIONING, MODES, POOLED, conditioning_encoder
from ..encoders.pictures import open_pictures
from ..hard_prompt import HardPrompt
from ..settings import SearchSettings
from .options import add_command, chosen, output_options, settings_options
from .progress import shown
from .searching import model_options, named_prior, search_options

PICTURES: dict[str, Any] = {"nargs": "+", "type": Path, "metavar": "PICTURE"}


def add(commands: Any) -> None:
    """The commands among the others."""
    model, search = (model_options, output_options), (partial(settings_options, SearchSettings()), search_options)
    for name, text, others in (
        ("invert", "words for what pictures show", "--avoid"),
        ("style", "words for what pictures share", "--avoid"),
        ("negative", "words for what pictures should not look like", "--keep"),
    ):
        command = add_command(commands, name, text, _run, *search, *model)
        command.add_argument("pictures", **PICTURES)
        command.add_argument(others, dest="others", help="pictures that the words must not fit", **PICTURES)

    command = add_command(commands, "distill", "a shorter prompt that means the same", _run, *search, *model)
    command.add_argument("prompt")
    share = "share of the tokens to keep, unless --tokens is given"
    same = "what is to stay the same: pooled feature, or token states"
    command.add_argument("--ratio", type=float, default=tasks.RATIO, help=share)
    command.add_argument("--mode", choices=MODES, default=POOLED, help=same)

    command = add_command(commands, "refine", "a text edited to fit pictures", _run, *search, *model)
    command.set_defaults(others=None)
    command.add_argument("text")
    command.add_argument("pictures", **PICTURES)

    command = add_command(commands, "concat", "put prompts together", _run, *model)
    command.add_argument("prompts", nargs="+", metavar="PROMPT")
    command.add_argument("--separator", default=tasks.SEPARATOR, help="what stands between two prompts")

    command = add_command(commands, "score", "similarity of a text to pictures", _run, *model)
    command.add_argument("text")
    command.add_argument("pictures", **PICTURES)


def _run(options: argparse.Namespace) -> int:
    """Print what was found; what people should know of it goes to standard error."""
    result = _result(options)
    for note in result.notes:
        print(f"pez: {note}", file=sys.stderr)
    print(result.to_json() if options.json else f"{result.text}\nsimilarity {result.similarity:.3f}")
    return 0


def _result(options: argparse.Namespace) -> HardPrompt:
    pictures = open_pictures(options.pictures) if "pictures" in options else []
    settings = chosen(SearchSettings, options) if "steps" in options else SearchSettings()
    encoder = load_encoder(options.model, options.pretrained, options.device)
    if options.command == "concat":
        return tasks.concat(encoder, options.prompts, options.separator)
    if options.command == "score":
        return tasks.score(encoder, options.text, encoder.encode_images(pictures))
    prior = named_prior(options, encoder.vocabulary)
    with shown(settings.total_steps) as on_step:
        if options.command == "distill":
            ratio = None if options.tokens else options.ratio
            encoder = conditioning_encoder(encoder) if options.mode == CONDITIONING else encoder
            return tasks.distill(encoder, options.prompt, settings, ratio, on_step, prior)
        if options.command == "refine":
            targets = encoder.encode_images(pictures)
            return tasks.refine(encoder, options.text, targets, settings, on_step=on_step, prior=prior)
        task = {"invert": tasks.invert, "style": tasks.style, "negative": tasks.negative}[options.command]
        others = encoder.encode_images(open_pictures(options.others)) if options.others else None
        return task(encoder, encoder.encode_images(pictures), settings, others, on_step, prior)
