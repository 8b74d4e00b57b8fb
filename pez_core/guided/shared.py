"""What several pictures share, and none of them alone: words that are confirmed beside what each is called."""

from collections.abc import Iterator, Sequence
from itertools import chain

import torch

from .evidence import evidence
from .guide import Guide
from .openings import openings
from .refine import FLUENCY, LEAST_GAIN, refined
from .texts import Ids, Texts

CONTEXTS, FEWEST, MOST = 32, 2, 8
WORDS, LEAST_SHARE = 12, 0.6
OTHERS = 4


class Shared:
    """Finds words for what pictures share, such as a style.

    Every picture has its own plausible texts, which already say what is in it alone. What a word adds to nearly all of
    them, by the picture of each, is shared. Words whose evidence is `LEAST_SHARE` of the highest are put together as
    long as what stands beside the texts gains by `LEAST_GAIN`, less `FLUENCY` for each nat. `pictures` share what they
    read.
    """

    def __init__(self, pictures: Sequence[Texts], guide: Guide) -> None:
        self._pictures, self._guide = pictures, guide

    def find(self) -> Iterator[Ids]:
        """The text as it grows; the last one is the result. Nothing where no text may be said.

        Raises PezError when the tower gives NaN.
        """
        count = min(MOST, max(FEWEST, CONTEXTS // len(self._pictures)))
        found = [openings(texts, self._guide, count) for texts in self._pictures]
        self._contexts = list(chain.from_iterable(zip(*found)))
        if self._contexts:
            words, gains = confirmed = evidence(self._guide, self._contexts)
            self._words = confirmed.above(max(0.0, LEAST_SHARE * gains[0].item()))[:WORDS] or words[:1]
            yield from self._grown(self._words)

    def others(self, best: Ids) -> list[Ids]:
        """The texts of the next words: none shares a word with a better one."""
        found = [best]
        for _ in range(OTHERS):
            said = set(chain.from_iterable(found))
            texts = list(self._grown([word for word in self._words if word not in said]))
            found += texts[-1:]
        return found[1:]

    def _grown(self, words: Sequence[int]) -> Iterator[Ids]:
        offered, may_say = tuple((word,) for word in words), self._guide.may_say
        first = next((word for word in offered if may_say(word)), None)
        if first:
            yield from refined((first,), offered, self._worth, may_say, LEAST_GAIN, self._guide.longest)

    def _worth(self, prompts: Sequence[Ids]) -> torch.Tensor:
        """The mean score (N,) of prompts before and after each context, less what they surprise."""
        total = torch.zeros(len(prompts))
        for texts, ids in self._contexts:
            sides = [*(ids + prompt for prompt in prompts), *(prompt + ids for prompt in prompts)]
            total += texts.scores(sides).view(2, -1).mean(0)
        return total / len(self._contexts) - FLUENCY * self._guide.surprise(prompts)
