"""The prior that comes along."""

from functools import cache

from ..encoders.embedded import FOLDER
from .ngrams import NGrams

FILE = "prior.safetensors"


@cache
def embedded_prior() -> NGrams:
    """A trigram model of CLIP's tokens (`embedded/README.md`), read once."""
    return NGrams.load(FOLDER / FILE)
