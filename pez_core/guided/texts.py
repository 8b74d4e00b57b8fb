"""Scores of texts of any length, each read once."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..device.out_of_memory import in_parts
from ..feature_judge import FeatureJudge
from ..priors.prior import Prior

Ids = tuple[int, ...]

TOGETHER = 512


class Texts:
    """What learned ids score under the objective, and what a prior thinks of them."""

    def __init__(self, judge: FeatureJudge, prior: Prior) -> None:
        self._judge, self._prior = judge, prior
        self._scores: dict[Ids, float] = {}

    def scores(self, prompts: Sequence[Ids]) -> Tensor:
        """Scores (N,) by the objective alone, higher is better; NaN counts as the lowest."""
        new = sorted({prompt for prompt in prompts if prompt not in self._scores}, key=lambda each: (len(each), each))
        if new:
            read = torch.cat(in_parts(lambda some: self._judge.prompts(some).score, new, TOGETHER))
            self._scores.update(zip(new, read.nan_to_num(nan=-torch.inf).tolist()))
        return torch.tensor([self._scores[prompt] for prompt in prompts])

    def mean_surprise(self, prompts: Sequence[Ids]) -> Tensor:
        """The prior's mean surprise (N,) at a token or the end, in nats."""
        return self._prior.surprise(prompts)

    def surprise(self, prompts: Sequence[Ids]) -> Tensor:
        """The prior's surprise (N,) at whole texts with their ends, in nats."""
        return self._prior.surprise(prompts) * torch.tensor([len(prompt) + 1.0 for prompt in prompts])
