"""A text decoded from a picture or another text: what it is called, and what is confirmed of it besides."""

from collections.abc import Callable, Iterator, Sequence

import torch

from ..errors import PezError
from ..feature_judge import FeatureJudge
from ..optimiser.projection import Projection
from ..priors.prior import Prior
from .evidence import Evidence, evidence, proposals
from .refine import refined
from .texts import Ids, Texts

OPENING_FILLERS, OPENING_WORDS = 64, 256
PHRASES, CONTEXTS = 4096, 16
NAMED_BESIDE = 6
LEAST_EVIDENCE, LEAST_GAIN = 0.03, 0.005
OTHERS, MOST_SHARED = 4, 0.5
SURPRISE, FLUENCY = 0.025, 0.002


class Decoder:
    """Decodes a text in three stages.

    First whole phrases that the prior knows, and single words that the gradient asks for, are scored by the objective,
    less `language` × `SURPRISE` for each nat: with 1 / SURPRISE near to the temperature of the encoder, that ranks them
    by their posterior probability. The best are plausible texts, in which words gather evidence (`evidence.py`). Then
    the phrase is chosen that does best beside the most evident words. At last evident words are put before and after it
    as long as each raises the score by `LEAST_GAIN`, less `language` × `FLUENCY` for each nat.

    `may_say` tells whether ids are a text that may be returned.
    """

    def __init__(
        self,
        judge: FeatureJudge,
        projection: Projection,
        prior: Prior,
        language: float,
        longest: int,
        may_say: Callable[[Ids], bool],
        generator: torch.Generator,
    ) -> None:
        self._judge, self._projection, self._prior, self._generator = judge, projection, prior, generator
        self._language, self._longest, self._may_say = language, longest, may_say
        self._texts = Texts(judge, prior)

    def decode(self) -> Iterator[Ids]:
        """The text as it grows; the last one is the result. Nothing where no text may be said.

        Raises PezError when the tower gives NaN.
        """
        self.contexts = self._openings()
        if not self.contexts:
            return
        yield self.contexts[0]
        self._evidence = evidence(self._judge, self._projection, self._texts, self.contexts, self._generator)
        self.contexts = self._ranked(self.contexts, self._evidence)
        yield from self.grown(self.contexts[0])

    def refine(self, given: Ids) -> Iterator[Ids]:
        """A given text after each edit, by the words that are evident beside it and beside plausible texts."""
        openings = self._openings()
        self.contexts = [given, *openings][:CONTEXTS]
        self._evidence = evidence(self._judge, self._projection, self._texts, self.contexts, self._generator)
        words = dict.fromkeys([*self._evidence.above(LEAST_EVIDENCE), *(openings[0] if openings else ())])
        yield from refined(given, list(words), self._worth, self._may_say, LEAST_GAIN, self._longest)

    def others(self, best: Ids) -> list[Ids]:
        """What becomes of the next phrases: texts that share at most half of their words with a better one."""
        found = [best]
        for phrase in self.contexts[1 : 1 + OTHERS]:
            *_, text = self.grown(phrase)
            if all(len(set(text) & set(better)) <= MOST_SHARED * len(set(text)) for better in found):
                found.append(text)
        return found[1:]

    def grown(self, phrase: Ids) -> Iterator[Ids]:
        """A phrase with what is evident besides, a word more each time."""
        words = self._evidence.above(LEAST_EVIDENCE)
        before: Ids = ()
        after: Ids = ()
        yield phrase
        while offers := self._insertions(before, phrase, after, words):
            texts = [first + phrase + last for first, last in offers]
            worth = self._worth([before + phrase + after, *texts])
            order = worth[1:].argsort(descending=True, stable=True).tolist()
            place = next((each for each in order if self._may_say(texts[each])), None)
            if place is None or worth[place + 1] <= worth[0] + LEAST_GAIN:
                break
            before, after = offers[place]
            yield before + phrase + after

    def _worth(self, texts: Sequence[Ids]) -> torch.Tensor:
        return self._texts.scores(texts) - self._language * FLUENCY * self._texts.surprise(texts)

    def _openings(self) -> list[Ids]:
        words = proposals(self._judge, self._projection, [()], OPENING_FILLERS, OPENING_WORDS, self._generator)
        known = [phrase for phrase in self._prior.phrases(PHRASES) if len(phrase) <= self._longest]
        texts = list(dict.fromkeys([*known, *((word,) for word in words)]))
        scores = self._texts.scores(texts)
        if not torch.isfinite(scores).any():
            name = self._judge.tower.name
            raise PezError(f"model {name!r} gives NaN for text; check its file, or load it in fp32.")
        scores -= self._language * SURPRISE * self._texts.surprise(texts)
        ranked = (texts[place] for place in scores.argsort(descending=True, stable=True).tolist())
        found: list[Ids] = []
        for text in ranked:
            if self._may_say(text):
                found.append(text)
            if len(found) == CONTEXTS:
                break
        return found

    def _ranked(self, contexts: Sequence[Ids], found: Evidence) -> list[Ids]:
        """Contexts by their mean score beside the most evident words, less what they surprise, the best first."""
        beside = found.words[:NAMED_BESIDE]
        sides = [
            [(word, *context) for context in contexts for word in beside],
            [(*context, word) for context in contexts for word in beside],
        ]
        means = torch.stack([self._texts.scores(side) for side in sides]).view(2, len(contexts), -1).mean((0, 2))
        means -= self._language * SURPRISE * self._texts.surprise(contexts)
        return [contexts[place] for place in means.argsort(descending=True, stable=True).tolist()]

    def _insertions(self, before: Ids, phrase: Ids, after: Ids, words: Sequence[int]) -> list[tuple[Ids, Ids]]:
        """What may stand before and after the phrase with one word more."""
        now = before + phrase + after
        if len(now) >= self._longest:
            return []
        new = [word for word in words if word not in now]
        return [
            *(((*before[:place], word, *before[place:]), after) for word in new for place in range(len(before) + 1)),
            *((before, (*after[:place], word, *after[place:])) for word in new for place in range(len(after) + 1)),
        ]
