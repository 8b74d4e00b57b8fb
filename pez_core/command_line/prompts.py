"""Commands on CLIP: invert, style, negative, distill, concat, score."""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

from .. import tasks
from ..encoders import load_encoder
from ..encoders.conditioning import CONDITIONING, MODES, POOLED, conditioning_encoder
from ..encoders.embedded import EMBEDDED
from ..encoders.pictures import open_pictures
from ..errors import PezError
from ..hard_prompt import HardPrompt
from ..language import TextReader, load_language_model
from ..priors import CausalPrior, Mixture, Prior, embedded_prior
from ..settings import SearchSettings
from ..vocabulary import Vocabulary
from .options import add_command, chosen, output_options, settings_options
from .progress import shown

PICTURES: dict[str, Any] = {"nargs": "+", "type": Path, "metavar": "PICTURE"}


def add(commands: Any) -> None:
    """The commands among the others."""
    model, search = (_model_options, output_options), (partial(settings_options, SearchSettings()), _search_options)
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


def _model_options(options: argparse.ArgumentParser) -> None:
    options.add_argument("--model", default=EMBEDDED, help="open_clip model name (default: the embedded model)")
    options.add_argument("--pretrained", help="pretrained tag that open_clip knows, or a safetensors file")


def _search_options(options: argparse.ArgumentParser) -> None:
    batch = f"pictures drawn per step (default all, style {tasks.STYLE_BATCH})"
    rounds = f"rounds of token swaps afterwards, per step (default {SearchSettings().refinement})"
    language = "how much language counts: 0 for PEZ alone, by steps and candidates (default %(default)s)"
    prior = "a language model, as a folder or GGUF file, to ask beside the embedded prior"
    preference = "how much nearer than a word a fragment must be"
    options.add_argument("--batch", type=int, metavar="PICTURES", help=batch)
    options.add_argument("--refinement", type=float, metavar="ROUNDS", help=rounds)
    options.add_argument("--weight-decay", type=float)
    options.add_argument("--word-preference", type=float, metavar="COSINE", help=preference)
    options.add_argument("--language", type=float, metavar="WEIGHT", help=language)
    options.add_argument("--prior", type=Path, metavar="MODEL", help=prior)
    options.add_argument("--prefix", help="fixed text before the learned words")
    options.add_argument("--suffix", help="fixed text after the learned words")


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
    prior = _prior(options, encoder.vocabulary)
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


def _prior(options: argparse.Namespace, vocabulary: Vocabulary) -> Prior | None:
    """The language model that was named, mixed with the embedded prior; None for that alone."""
    if options.prior is None:
        return None
    if not options.language:
        raise PezError("prior is not asked while language is 0; choose more, such as 1.")
    model = load_language_model(options.prior, options.device)
    return Mixture([embedded_prior(), CausalPrior(TextReader(model), vocabulary)])
