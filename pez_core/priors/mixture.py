"""Several priors as one, each as likely to be right."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .prior import Prior


@dataclass(frozen=True)
class Mixture:
    """Texts are as likely as by the mean of what the priors say; the phrases are those of the first.

    A language model is surprised that a text ends after two words, and at rare names; one that counted names is
    surprised at sentences. Of each text the mixture believes whichever knows it.
    """

    priors: Sequence[Prior]

    def surprise(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Mean surprise (N,) at a token of each prompt and at its end, in nats."""
        lengths = torch.tensor([len(prompt) + 1.0 for prompt in prompts])
        totals = torch.stack([prior.surprise(prompts) * lengths for prior in self.priors])
        return (torch.tensor(float(len(self.priors))).log() - (-totals).logsumexp(0)) / lengths

    def phrases(self, count: int) -> Sequence[tuple[int, ...]]:
        """The `count` likeliest whole texts of the first prior."""
        return self.priors[0].phrases(count)
