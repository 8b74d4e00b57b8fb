"""The words that a search may choose from."""

import torch

from .encoders.encoder import Encoder
from .optimiser.projection import Projection
from .settings import SearchSettings


def admitted(encoder: Encoder, settings: SearchSettings) -> Projection:
    """The projection onto what the token filter admits, less the blocked words, with the preference for whole words."""
    vocabulary, tables = encoder.vocabulary, encoder.tower.tables
    allowed = vocabulary.allowed_ids(settings.token_filter, settings.blocklist)
    if not settings.word_preference:
        return Projection(tables, allowed)
    fragments = ~torch.isin(allowed, vocabulary.allowed_ids("ascii words"))
    return Projection(tables, allowed, settings.word_preference * fragments)
