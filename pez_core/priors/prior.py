"""What a search is told of language: how likely a text is, and which texts are likely."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class Prior(Protocol):
    """A language model, asked about texts as ids of the encoder's vocabulary, without start and end."""

    def surprise(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Mean surprise (N,) at a token of each prompt or at its end, in nats: the logarithm of its perplexity."""
        ...

    def phrases(self, count: int) -> Sequence[tuple[int, ...]]:
        """The `count` likeliest whole texts, or as many as are known, the likeliest first."""
        ...
