"""How far a word is confirmed by the target whatever else is said: its gain over many other texts.

A gradient search finds words that raise the similarity of one text and mean nothing in the next. What a word adds to
nearly all of a dozen plausible texts, it adds by what it means.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..feature_judge import FeatureJudge
from ..optimiser.projection import Projection
from .texts import Ids, Texts

FILLERS = 4
PROPOSALS, FIRST_TEXTS, KEPT = 500, 6, 64
QUANTILE = 0.25


class Evidence(NamedTuple):
    """Words, and the gain (N,) in score that each brings to three of four texts, the highest first."""

    words: tuple[int, ...]
    gains: Tensor

    def above(self, least: float) -> tuple[int, ...]:
        return self.words[: int((self.gains > least).sum())]


def evidence(
    judge: FeatureJudge, projection: Projection, texts: Texts, contexts: Sequence[Ids], generator: torch.Generator
) -> Evidence:
    """The words that the target confirms in `contexts`: those that the gradient asks for, tried before and after."""
    words = proposals(judge, projection, contexts, FILLERS, PROPOSALS, generator)
    for tried in (contexts[:FIRST_TEXTS], contexts):
        found = torch.nanquantile(_gains(texts, words, tried), QUANTILE, dim=1).nan_to_num(nan=-1.0)
        order = found.argsort(descending=True, stable=True)[:KEPT].tolist()
        words, gains = [words[place] for place in order], found[order]
    return Evidence(tuple(words), gains)


def proposals(
    judge: FeatureJudge,
    projection: Projection,
    contexts: Sequence[Ids],
    fillers: int,
    count: int,
    generator: torch.Generator,
) -> list[int]:
    """The tokens that would raise the score most beside `contexts`, by the gradient at random words in their place."""
    gradient = _expected_gradient(judge, projection, contexts, fillers, generator)
    products = projection.products(gradient[None])[0]
    return projection.preferred[products.topk(min(count, len(products))).indices].tolist()


def _expected_gradient(
    judge: FeatureJudge, projection: Projection, contexts: Sequence[Ids], fillers: int, generator: torch.Generator
) -> Tensor:
    """The sum (D,) of the negative loss gradients at random words before and after each context."""
    rows: dict[int, list[tuple[Ids, int]]] = defaultdict(list)
    for context in contexts:
        drawn = projection.preferred[torch.randint(len(projection.preferred), (fillers,), generator=generator)]
        for word in drawn.tolist():
            rows[len(context)].append(((word, *context), 0))
            if context:
                rows[len(context)].append(((*context, word), len(context)))
    total = torch.zeros(())
    for some in rows.values():
        _, gradient = judge.with_gradient(torch.tensor([ids for ids, _ in some], device=judge.tower.device))
        places = torch.tensor([place for _, place in some])
        total = total.to(gradient) - gradient[torch.arange(len(some)), places].sum(0)
    return total


def _gains(texts: Texts, words: Sequence[int], contexts: Sequence[Ids]) -> Tensor:
    """The gain (W, C) of each word in each context, mean of before and after it; NaN where it is there already."""
    pairs = [(word, context) for word in words for context in contexts]
    sides = [[(word, *context) for word, context in pairs], [(*context, word) for word, context in pairs]]
    after = torch.stack([texts.scores(side) for side in sides]).mean(0).view(len(words), len(contexts))
    there = torch.tensor([[word in context for context in contexts] for word in words])
    return (after - texts.scores(contexts)).masked_fill(there, torch.nan)
