"""How an optimiser learns what prompts are worth."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Verdict(NamedTuple):
    """How N prompts were judged: `score` (N,) is what a search raises, `reported` (N,) is what people are told.

    That is the similarity to what is sought, or for classification the share of texts whose class is right.
    """

    score: Tensor
    reported: Tensor


class Offer(NamedTuple):
    """Prompts that were tried, as learned ids (N, M), and the verdict on them."""

    ids: Tensor
    verdict: Verdict


class Judge(Protocol):
    """What learned ids are judged by."""

    def with_gradient(self, ids: Tensor, generator: torch.Generator | None = None) -> tuple[Verdict, Tensor]:
        """The verdict on ids (N, M), and the gradient (N, M, D) of the loss at their embeddings.

        With a generator the loss may be that of a random mini-batch.
        """
        ...

    def swaps(self, learned: Sequence[int], position: int, tokens: Tensor) -> Verdict:
        """The verdict on learned ids (M) with each of `tokens` (N,) in turn at one position."""
        ...
