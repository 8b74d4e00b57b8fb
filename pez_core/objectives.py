"""What a prompt is searched for: scores of text features, higher is better, and their weighted sums."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from .errors import PezError


class Objective(Protocol):
    """A score of candidates by their text features. The loss that PEZ descends is 1 − score."""

    def score(self, features: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Scores (B,) of unit features (B, F); with a generator, on their device, by a random mini-batch of targets."""
        ...

    def similarity(self, features: Tensor) -> Tensor:
        """Cosine similarity (B,) to what is sought, all targets counted, without what is repelled."""
        ...


@dataclass(frozen=True)
class Match:
    """Mean cosine similarity to target features: of pictures or of a text (Wen et al. 2023, section 4).

    `targets` is (T, F), unit norm. `batch` targets are drawn per step, as for style; None takes all.
    """

    targets: Tensor
    batch: int | None = None

    def __post_init__(self) -> None:
        if self.targets.ndim != 2 or not len(self.targets):
            raise PezError("targets are empty; give at least one picture or text.")
        if not torch.isfinite(self.targets).all():
            raise PezError("targets hold NaN or infinite features; check the picture and the model that encoded it.")

    def score(self, features: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return features @ (self._mean if generator is None else self._drawn_mean(generator))

    def similarity(self, features: Tensor) -> Tensor:
        return self.score(features)

    @cached_property
    def _mean(self) -> Tensor:
        return self.targets.mean(0)

    def _drawn_mean(self, generator: torch.Generator) -> Tensor:
        if self.batch is None or self.batch >= len(self.targets):
            return self._mean
        order = torch.rand(len(self.targets), generator=generator, device=self.targets.device)
        return self.targets[order.topk(self.batch).indices].mean(0)


@dataclass(frozen=True)
class WeightedSum:
    """Objectives added up with weights; a negative weight repels."""

    terms: Sequence[tuple[float, Objective]]

    def score(self, features: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return torch.stack([weight * term.score(features, generator) for weight, term in self.terms]).sum(0)

    def similarity(self, features: Tensor) -> Tensor:
        attracting = [(weight, term) for weight, term in self.terms if weight > 0]
        total = sum(weight for weight, _ in attracting)
        return torch.stack([weight * term.similarity(features) for weight, term in attracting]).sum(0) / total
