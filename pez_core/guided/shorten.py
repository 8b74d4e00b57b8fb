"""A text made shorter: its own words, without those that are missed least."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from torch import Tensor

from .guide import Guide
from .refine import Worth, refined
from .texts import Ids, Texts, Words, spelled

SHARE = 0.25
LEAST_GAIN, FLUENCY = 0.003, 0.003
SMALLEST = 1e-3
SHORTER = (0.75, 0.5, 0.25)


class Part(NamedTuple):
    """Words of a text that are read at once, and the scores of texts as to what they mean."""

    words: Words
    texts: Texts


class Shortener:
    """Shortens a text that is read in `parts`; `whole` scores by all of them.

    Words go that lower the score least, less `FLUENCY` for each nat, until the guide's length is kept. Then words of
    the text are put in, replaced and exchanged while each edit gains `LEAST_GAIN`. Scores are counted from that of a
    word alone, 0, to that of all words, 1: token states are alike whatever is said, and pooled features are not.
    """

    def __init__(self, whole: Texts, parts: Sequence[Part], guide: Guide) -> None:
        self._whole, self._guide = whole, guide
        self._parts = [part for part in parts if part.words]

    def shorten(self) -> Iterator[Ids]:
        """The text as it gets better; the last one is the result. Nothing where no text may be said."""
        yield from self._short(self._guide.longest)

    def others(self, best: Ids) -> list[Ids]:
        """Shorter texts yet: of three quarters, half and a quarter of the length."""
        lengths = dict.fromkeys(max(1, round(share * self._guide.longest)) for share in SHORTER)
        texts = [text for length in lengths for text in list(self._short(length))[-1:]]
        return [text for text in dict.fromkeys(texts) if text != best]

    def _short(self, longest: int) -> Iterator[Ids]:
        total = sum(len(spelled(part.words)) for part in self._parts)
        text: Words = ()
        for part in self._parts:
            share = max(1, longest * len(spelled(part.words)) // total)
            text += self._left(part.words, self._worth(part.texts, part.words), share)
        words = tuple(dict.fromkeys(word for part in self._parts for word in part.words))
        if not words:
            return
        text = self._left(text, self._worth(self._whole, words), longest)
        if text:
            worth = self._worth(self._whole, words)
            yield from refined(text, words, worth, self._guide.may_say, LEAST_GAIN, longest)

    def _left(self, text: Words, worth: Worth, longest: int) -> Words:
        """What is left of a text when it has `longest` ids at most, a share of what is too much going at a time."""
        text = tuple(word for word in text if self._guide.may_say(word))
        while text and (len(spelled(text)) > longest or not self._guide.may_say(spelled(text))):
            without = worth([spelled(text[:place] + text[place + 1 :]) for place in range(len(text))])
            count = max(1, int(SHARE * (len(spelled(text)) - longest)))
            gone = set(without.argsort(descending=True, stable=True)[:count].tolist())
            text = tuple(word for place, word in enumerate(text) if place not in gone)
        return text

    def _worth(self, texts: Texts, words: Words) -> Worth:
        alone = texts.scores(words).mean()
        span = max(SMALLEST, texts.judge.tower.logit_scale - alone.item())

        def worth(prompts: Sequence[Ids]) -> Tensor:
            return (texts.scores(prompts) - alone) / span - FLUENCY * self._guide.surprise(prompts)

        return worth
