"""How far a word is confirmed by the target whatever else is said: its gain over many other texts.

A gradient search finds words that raise the similarity of one text and mean nothing in the next. What a word adds to
nearly all of a dozen plausible texts, it adds by what it means.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor

from .guide import Guide
from .texts import Ids, Texts

FILLERS = 4
PROPOSALS, PHRASES = 500, 4096
SCREENED_BESIDE, SCREENED = 2, 256
FIRST_TEXTS, KEPT = 6, 64
QUANTILE = 0.25


class Context(NamedTuple):
    """A plausible text, and what it is plausible for."""

    texts: Texts
    ids: Ids


class Evidence(NamedTuple):
    """Words, and the gain (N,) in logits that each brings to three of four texts, the highest first."""

    words: tuple[int, ...]
    gains: Tensor

    def above(self, least: float) -> tuple[int, ...]:
        return self.words[: int((self.gains > least).sum())]


def evidence(guide: Guide, contexts: Sequence[Context]) -> Evidence:
    """The words that are confirmed in `contexts`, tried before and after.

    They are those that the gradient asks for, and those of the prior's phrases: of what many texts have in common, such
    as colours, the gradient at one text says little.
    """
    words = _screened([*proposals(guide, contexts, FILLERS, PROPOSALS), *_known(guide)], contexts[:SCREENED_BESIDE])
    for tried in (contexts[:FIRST_TEXTS], contexts):
        found = torch.nanquantile(_gains(words, tried), QUANTILE, dim=1).nan_to_num(nan=-torch.inf)
        order = found.argsort(descending=True, stable=True)[:KEPT].tolist()
        words, gains = [words[place] for place in order], found[order]
    return Evidence(tuple(words), gains)


def proposals(guide: Guide, contexts: Sequence[Context], fillers: int, count: int) -> list[int]:
    """The tokens that would raise the score most beside `contexts`, by the gradient at random words in their place."""
    gradient = _expected_gradient(guide, contexts, fillers)
    products = guide.projection.products(gradient[None])[0]
    return guide.projection.preferred[products.topk(min(count, len(products))).indices].tolist()


def _known(guide: Guide) -> list[int]:
    """The words of the prior's phrases that may be used."""
    usable = set(guide.projection.preferred.tolist())
    return [word for word in chain.from_iterable(guide.prior.phrases(PHRASES)) if word in usable]


def _screened(words: Sequence[int], contexts: Sequence[Context]) -> list[int]:
    """The `SCREENED` words that add most to a few contexts when they come last."""
    new = list(dict.fromkeys(words))
    gains = torch.zeros(len(new))
    for texts, ids in contexts:
        gains += texts.followed(ids, new).masked_fill(_there(new, ids), -torch.inf)
    return [new[place] for place in gains.argsort(descending=True, stable=True)[:SCREENED].tolist()]


def _there(words: Sequence[int], ids: Ids) -> Tensor:
    return torch.tensor([word in ids for word in words])


def _expected_gradient(guide: Guide, contexts: Sequence[Context], fillers: int) -> Tensor:
    """The sum (D,) of the negative loss gradients at random words before and after each context."""
    rows: dict[tuple[Texts, int], list[tuple[Ids, int]]] = defaultdict(list)
    words = guide.projection.preferred
    for texts, ids in contexts:
        drawn = words[torch.randint(len(words), (fillers,), generator=guide.generator)]
        for word in drawn.tolist():
            rows[texts, len(ids)].append(((word, *ids), 0))
            if ids:
                rows[texts, len(ids)].append(((*ids, word), len(ids)))
    total = torch.zeros(())
    for (texts, _), some in rows.items():
        together = torch.tensor([ids for ids, _ in some], device=texts.judge.tower.device)
        _, gradient = texts.judge.with_gradient(together)
        places = torch.tensor([place for _, place in some])
        total = total.to(gradient) - gradient[torch.arange(len(some)), places].sum(0)
    return total


def _gains(words: Sequence[int], contexts: Sequence[Context]) -> Tensor:
    """The gain (W, C) of each word in each context, mean of before and after it; NaN where it is there already."""
    return torch.stack([_gains_beside(words, texts, ids) for texts, ids in contexts], 1)


def _gains_beside(words: Sequence[int], texts: Texts, context: Ids) -> Tensor:
    sides = [*((word, *context) for word in words), *((*context, word) for word in words)]
    after = texts.scores(sides).view(2, -1).mean(0)
    return (after - texts.scores([context])).masked_fill(_there(words, context), torch.nan)
