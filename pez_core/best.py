"""The best text so far, judged by what the tokenizer makes of the text rather than by the ids that were tried."""

import math

from .errors import PezError
from .feature_judge import FeatureJudge
from .optimiser.judge import Offer
from .settings import SearchSettings
from .vocabulary import Vocabulary, blocked_phrases, spells_syntax


class ReadBack:
    """What learned ids become as text, with prefix and suffix around them, tokenised again.

    The whole text counts: one that holds a blocked phrase may not be said, however many of its parts it takes to spell
    the phrase, nor may one whose learned part spells prompt syntax, or one that is longer than asked for.

    Raises PezError when prefix or suffix alone hold a blocked phrase.
    """

    def __init__(self, judge: FeatureJudge, vocabulary: Vocabulary, settings: SearchSettings) -> None:
        self._vocabulary, self._settings = vocabulary, settings
        self._blocked = blocked_phrases(settings.blocklist)
        for name, text in (("prefix", settings.prefix), ("suffix", settings.suffix)):
            if phrase := self._blocked.search(text):
                raise PezError(f"{name} holds {phrase[0]!r}, which the blocklist forbids; take it out of one of them.")
        self._longest = len(judge.before) + settings.tokens + len(judge.after)

    def __call__(self, learned: tuple[int, ...]) -> tuple[str, tuple[int, ...]] | None:
        """The text and its ids, or None where it may not be said."""
        spelled = self._vocabulary.decode(learned)
        parts = (self._settings.prefix, spelled, self._settings.suffix)
        text = " ".join(part.strip() for part in parts if part.strip())
        tokens = tuple(self._vocabulary.encode(text))
        may_be_said = not self._blocked.search(text) and not spells_syntax(spelled)
        return (text, tokens) if may_be_said and 0 < len(tokens) <= self._longest else None


class Best:
    """Keeps the highest-scoring text. Ids that the round trip changes are judged again as they come back.

    Raises PezError when prefix or suffix alone hold a blocked phrase.
    """

    def __init__(self, judge: FeatureJudge, vocabulary: Vocabulary, settings: SearchSettings) -> None:
        self._judge, self._read_back = judge, ReadBack(judge, vocabulary, settings)
        self._rejected: set[tuple[int, ...]] = set()
        self.score = float("-inf")
        self.similarity = -1.0
        self.text = ""
        self.tokens: tuple[int, ...] = ()
        self.learned: tuple[int, ...] = ()

    def consider(self, offer: Offer) -> None:
        """See whether learned ids, which were judged before the round trip, beat the best text after it.

        Raises PezError when all scores are NaN and no text was found before.
        """
        scores, similarities = (judged.tolist() for judged in offer.verdict)
        offered = [each for each in zip(scores, similarities, offer.ids.tolist()) if not math.isnan(each[0])]
        if not offered and not self.text:
            raise PezError(f"model {self._judge.tower.name!r} gives NaN for text; check its file, or load it in fp32.")
        for score, similarity, ids in sorted(offered, reverse=True):
            if score <= self.score:
                return
            if tuple(ids) not in self._rejected:
                self._reread(tuple(ids), score, similarity)

    def _reread(self, learned: tuple[int, ...], score: float, similarity: float) -> None:
        read = self._read_back(learned)
        if read is not None:
            text, tokens = read
            if tokens != self._judge.before + learned + self._judge.after:
                score, similarity = (judged.item() for judged in self._judge.prompt(tokens))
            if score > self.score:
                self.score, self.similarity, self.text = score, similarity, text
                self.tokens, self.learned = tokens, learned
                return
        self._rejected.add(learned)


def nothing_found(settings: SearchSettings) -> str:
    """What to say and advise where no text may be returned."""
    if settings.blocklist:
        return "blocklist rejected every prompt that was found; take words out of it or raise the steps."
    return (
        f"token filter {settings.token_filter!r} gave no text that reads back within the prompt length; "
        "choose ascii words, or raise the steps."
    )
