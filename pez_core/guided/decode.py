"""A text decoded from a picture or another text: what it is called, and what is confirmed of it besides."""

from collections.abc import Iterator, Sequence

import torch

from .evidence import Context, Evidence, evidence
from .guide import Guide
from .openings import SURPRISE, openings
from .refine import FLUENCY, LEAST_GAIN, better, refined
from .texts import Ids, Texts, Words, spelled

CONTEXTS = 16
NAMED_BESIDE = 6
LEAST_EVIDENCE = 1.09
OTHERS, MOST_SHARED = 7, 0.5


class Decoder:
    """Decodes a text in three stages.

    First plausible texts are found (`openings.py`), in which words gather evidence (`evidence.py`). Then the text is
    chosen that does best beside the most evident words. At last evident words are put before and after it as long as
    each raises the score by `LEAST_GAIN`, less `FLUENCY` for each nat.
    """

    def __init__(self, texts: Texts, guide: Guide) -> None:
        self._texts, self._guide = texts, guide

    def decode(self) -> Iterator[Ids]:
        """The text as it grows; the last one is the result. Nothing where no text may be said.

        Raises PezError when the tower gives NaN.
        """
        contexts = openings(self._texts, self._guide, CONTEXTS)
        if not contexts:
            return
        yield contexts[0].ids
        self._evidence = evidence(self._guide, contexts)
        self._phrases = self._ranked([context.ids for context in contexts], self._evidence)
        yield from self._grown(self._phrases[0])

    def refine(self, given: Words) -> Iterator[Ids]:
        """A given text after each edit, by the words that are evident beside it and beside plausible texts."""
        plausible = openings(self._texts, self._guide, CONTEXTS - 1)
        self._phrases = [spelled(given), *(context.ids for context in plausible)]
        roomy = [Context(self._texts, spelled(given))] if len(spelled(given)) < self._texts.room else []
        self._evidence = evidence(self._guide, [*roomy, *plausible])
        evident = tuple((word,) for word in self._evidence.above(LEAST_EVIDENCE))
        words = (*evident, *(self._guide.split(plausible[0].ids) if plausible else ()))
        yield from refined(given, words, self._worth, self._guide.may_say, LEAST_GAIN, self._guide.longest)

    def others(self, best: Ids) -> list[Ids]:
        """What becomes of the next phrases: texts that share at most half of their words with a better one."""
        found = [best]
        for phrase in self._phrases[1:]:
            if len(found) > OTHERS:
                break
            *_, text = self._grown(phrase)
            if all(len(set(text) & set(better)) <= MOST_SHARED * len(set(text)) for better in found):
                found.append(text)
        return found[1:]

    def _grown(self, phrase: Ids) -> Iterator[Ids]:
        """A phrase with what is evident besides, a word more each time."""
        words = self._evidence.above(LEAST_EVIDENCE)
        before: Ids = ()
        after: Ids = ()
        yield phrase
        while offers := self._insertions(before, phrase, after, words):
            texts = [first + phrase + last for first, last in offers]
            place = better(before + phrase + after, texts, self._worth, self._guide.may_say, LEAST_GAIN)
            if place is None:
                break
            before, after = offers[place]
            yield before + phrase + after

    def _worth(self, texts: Sequence[Ids]) -> torch.Tensor:
        return self._texts.scores(texts) - FLUENCY * self._guide.surprise(texts)

    def _ranked(self, phrases: Sequence[Ids], found: Evidence) -> list[Ids]:
        """Phrases by their mean score beside the most evident words, less what they surprise, the best first."""
        beside = found.words[:NAMED_BESIDE]
        sides = [
            *((word, *phrase) for phrase in phrases for word in beside),
            *((*phrase, word) for phrase in phrases for word in beside),
        ]
        means = self._texts.scores(sides).view(2, len(phrases), -1).mean((0, 2))
        means -= SURPRISE * self._guide.surprise(phrases)
        return [phrases[place] for place in means.argsort(descending=True, stable=True).tolist()]

    def _insertions(self, before: Ids, phrase: Ids, after: Ids, words: Sequence[int]) -> list[tuple[Ids, Ids]]:
        """What may stand before and after the phrase with one word more."""
        now = before + phrase + after
        if len(now) >= self._guide.longest:
            return []
        new = [word for word in words if word not in now]
        return [
            *(((*before[:place], word, *before[place:]), after) for word in new for place in range(len(before) + 1)),
            *((before, (*after[:place], word, *after[place:])) for word in new for place in range(len(after) + 1)),
        ]
