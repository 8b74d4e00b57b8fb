"""What every guided search goes by: which words there are, what may be said, and what language expects."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..optimiser.projection import Projection
from ..priors.prior import Prior
from .texts import Ids, Words


@dataclass(frozen=True)
class Guide:
    """Words come from the `projection`, texts have `longest` words at most, and chance comes from the `generator`.

    `may_say` tells whether ids are a text that may be returned, and `split` into which words they fall. `language`
    weighs what the `prior` says.
    """

    projection: Projection
    prior: Prior
    language: float
    longest: int
    may_say: Callable[[Ids], bool]
    split: Callable[[Ids], Words]
    generator: torch.Generator

    def surprise(self, prompts: Sequence[Ids]) -> Tensor:
        """The prior's surprise (N,) at whole texts with their ends, in nats, times `language`."""
        lengths = torch.tensor([len(prompt) + 1.0 for prompt in prompts])
        return self.language * self.prior.surprise(prompts) * lengths
