"""What commands that search on CLIP share: the options for model and search, and the prior that these name."""

import argparse
from pathlib import Path

from .. import tasks
from ..encoders.embedded import EMBEDDED
from ..errors import PezError
from ..language import TextReader, load_language_model
from ..priors import CausalPrior, Mixture, Prior, embedded_prior
from ..settings import SearchSettings
from ..vocabulary import Vocabulary


def model_options(options: argparse.ArgumentParser) -> None:
    """The model that reads texts and pictures."""
    options.add_argument("--model", default=EMBEDDED, help="open_clip model name (default: the embedded model)")
    options.add_argument("--pretrained", help="pretrained tag that open_clip knows, or a safetensors file")


def search_options(options: argparse.ArgumentParser) -> None:
    """What a search on CLIP is told besides."""
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


def named_prior(options: argparse.Namespace, vocabulary: Vocabulary) -> Prior | None:
    """The language model that was named, mixed with the embedded prior; None for that alone."""
    if options.prior is None:
        return None
    if not options.language:
        raise PezError("prior is not asked while language is 0; choose more, such as 1.")
    model = load_language_model(options.prior, options.device)
    return Mixture([embedded_prior(), CausalPrior(TextReader(model), vocabulary)])
