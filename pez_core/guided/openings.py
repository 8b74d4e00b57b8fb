"""Plausible texts to begin with: phrases that the prior knows, and single words that the gradient asks for."""

import torch

from ..errors import PezError
from .evidence import PHRASES, Context, proposals
from .guide import Guide
from .texts import Texts

FILLERS, WORDS = 64, 256
PRICED = 512
SURPRISE = 0.91


def openings(texts: Texts, guide: Guide, count: int) -> list[Context]:
    """The `count` best texts by score, less `SURPRISE` for each nat, among the `PRICED` of the highest score.

    Scores are logits, so with SURPRISE near to 1 that ranks them by their posterior probability.

    Raises PezError when the tower gives NaN.
    """
    words = proposals(guide, [Context(texts, ())], FILLERS, WORDS)
    known = [phrase for phrase in guide.prior.phrases(PHRASES) if len(phrase) <= min(guide.longest, texts.room - 1)]
    tried = list(dict.fromkeys([*known, *((word,) for word in words)]))
    scores = texts.scores(tried)
    if not torch.isfinite(scores).any():
        raise PezError(f"model {texts.judge.tower.name!r} gives NaN for text; check its file, or load it in fp32.")
    nearest = [tried[place] for place in scores.argsort(descending=True, stable=True)[:PRICED].tolist()]
    worth = texts.scores(nearest) - SURPRISE * guide.surprise(nearest)
    found: list[Context] = []
    for place in worth.argsort(descending=True, stable=True).tolist():
        if len(found) == count:
            break
        if guide.may_say(nearest[place]):
            found.append(Context(texts, nearest[place]))
    return found
