"""The search for a prompt by gradient and language together: decoded, edited, shortened, or shared by pictures."""

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import chain

import torch

from .admitted import admitted
from .best import ReadBack, nothing_found
from .encoders.encoder import Encoder
from .errors import PezError
from .feature_judge import FeatureJudge
from .guided.decode import Decoder
from .guided.guide import Guide
from .guided.shared import Shared
from .guided.shorten import Part, Shortener
from .guided.texts import Ids, Texts, Words
from .objectives import Objective
from .optimiser.run import OnStep, Run
from .priors import Prior, embedded_prior
from .search_result import SearchResult
from .settings import SearchSettings

SPACE_BEFORE = re.compile(r" +(?=[,.;:!?])")


class GuidedSearch:
    """A search for `objective` that is guided by a prior, the embedded one if none is given.

    `on_step` is called after every word or edit, and while many texts are read; returning True stops the search at the
    next word, and so does the end of a time budget. Runs are repeatable for a seed on one device, unless time ends
    them. One object searches once.

    Every search raises PezError when prefix, prompt and suffix do not fit the context or hold a blocked phrase, no text
    may be said, or the tower gives NaN.
    """

    def __init__(
        self,
        encoder: Encoder,
        objective: Objective,
        settings: SearchSettings,
        on_step: OnStep | None = None,
        prior: Prior | None = None,
    ) -> None:
        encoder.bring()
        self._encoder, self._settings = encoder, settings
        self._run = Run(settings.total_steps, settings.time_budget, on_step)
        self._judge = FeatureJudge(encoder, objective, settings)
        self._read_back = ReadBack(self._judge, encoder.vocabulary, settings)
        self._guide = Guide(
            admitted(encoder, settings), prior or embedded_prior(), settings.language, settings.tokens,
            self._may_say, self._split, torch.Generator().manual_seed(settings.seed),
        )  # fmt: skip

    def decoded(self) -> SearchResult:
        """A text put together word by word."""
        decoder = Decoder(self._texts(self._judge, {}), self._guide)
        return self._found(decoder.decode(), decoder.others)

    def edited(self, given: str) -> SearchResult:
        """A given text, edited until no edit makes it better.

        Raises PezError for one that may not be said.
        """
        ids = tuple(self._encoder.vocabulary.encode(given))
        if not self._may_say(ids):
            raise PezError(f"text {given!r} holds what the blocklist forbids, or prompt syntax; take it out.")
        decoder = Decoder(self._texts(self._judge, {}), self._guide)
        return self._found(decoder.refine(self._split(ids)), decoder.others)

    def shortened(self, parts: Sequence[Sequence[int]], each: Sequence[Objective]) -> SearchResult:
        """What is left of a text, in the words of its parts, of which each has an objective of its own.

        Where none of its words may be said, a text is put together from others.
        """
        judges = [FeatureJudge(self._encoder, objective, self._settings) for objective in each]
        read: dict[Ids, torch.Tensor] = {}
        whole, texts = self._texts(self._judge, read), [self._texts(judge, read) for judge in judges]
        shortener = Shortener(whole, [Part(self._split(ids), some) for ids, some in zip(parts, texts)], self._guide)
        found = shortener.shorten()
        first = next(found, None)
        return self.decoded() if first is None else self._found(chain([first], found), shortener.others)

    def shared(self, each: Sequence[Objective]) -> SearchResult:
        """A text that holds for each of several objectives, beside what holds for one alone."""
        read: dict[Ids, torch.Tensor] = {}
        judges = [FeatureJudge(self._encoder, objective, self._settings) for objective in each]
        finder = Shared([self._texts(judge, read) for judge in judges], self._guide)
        return self._found(finder.find(), finder.others)

    def _found(self, texts: Iterable[Ids], others: Callable[[Ids], list[Ids]]) -> SearchResult:
        """The last of the texts that there was time for, and others than that."""
        run, best = self._run, Ids()
        run.next()
        for best in texts:
            text, tokens, similarity = self._told(best)
            run.tell(similarity, text)
            if not run.next():
                break
        if not best:
            raise PezError(nothing_found(self._settings))
        text, tokens, similarity = self._told(best)
        alternatives = () if run.over else tuple(self._told(other)[0] for other in others(best))
        return SearchResult(text, tokens, similarity, tuple(run.history), (), alternatives)

    def _texts(self, judge: FeatureJudge, read: dict[Ids, torch.Tensor]) -> Texts:
        return Texts(judge, read, self._run.again)

    def _may_say(self, ids: Ids) -> bool:
        return self._read_back(ids) is not None

    def _split(self, ids: Sequence[int]) -> Words:
        vocabulary = self._encoder.vocabulary
        words = (tuple(vocabulary.encode(word)) for word in vocabulary.decode(ids).split())
        return tuple(word for word in words if word)

    def _told(self, ids: Ids) -> tuple[str, Ids, float]:
        """Learned ids as text, its ids as they read back, and its similarity."""
        read = self._read_back(ids)
        assert read, "only what may be said is found"
        text, tokens = read
        tidy = SPACE_BEFORE.sub("", text)
        if tuple(self._encoder.vocabulary.encode(tidy)) == tokens:
            text = tidy
        return text, tokens, self._judge.prompt(tokens).reported.item()
