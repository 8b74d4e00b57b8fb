"""The best text so far, judged by what the tokenizer makes of the text rather than by the ids that were tried."""

from __future__ import annotations

from collections.abc import Sequence

from .frame import Frame
from .hard_prompt import SearchSettings
from .tower import MAX_PROMPT_TOKENS
from .vocabulary import Vocabulary, blocked_phrases

Offer = tuple[list[list[int]], list[float], list[float]]


class Best:
    """Keeps the highest-scoring text. Ids that the round trip changes are judged again as they come back."""

    def __init__(self, frame: Frame, vocabulary: Vocabulary, settings: SearchSettings) -> None:
        self._frame, self._vocabulary, self._settings = frame, vocabulary, settings
        self._blocked = blocked_phrases(settings.blocklist)
        self._longest = min(MAX_PROMPT_TOKENS, len(frame.before) + settings.tokens + len(frame.after))
        self._rejected: set[tuple[int, ...]] = set()
        self.score = float("-inf")
        self.similarity = -1.0
        self.text = ""
        self.tokens: tuple[int, ...] = ()
        self.learned: tuple[int, ...] = ()

    def offer(self, learned: list[list[int]], scores: list[float], similarities: list[float]) -> None:
        """Consider learned ids (B, M) that were judged, before the round trip, as `scores` and `similarities` (B,)."""
        for score, similarity, ids in sorted(zip(scores, similarities, learned), reverse=True):
            if score <= self.score:
                return
            if tuple(ids) not in self._rejected:
                self._consider(tuple(ids), score, similarity)

    def _consider(self, learned: tuple[int, ...], score: float, similarity: float) -> None:
        text = self._whole_text(learned)
        tokens = tuple(self._vocabulary.encode(text))
        fits = 0 < len(tokens) <= self._longest
        if fits and not self._blocked.search(self._vocabulary.decode(learned)):
            if tokens != self._frame.before + learned + self._frame.after:
                score, similarity = (judged.item() for judged in self._frame.judge_prompt(tokens))
            if score > self.score:
                self.score, self.similarity, self.text = score, similarity, text
                self.tokens, self.learned = tokens, learned
                return
        self._rejected.add(learned)

    def _whole_text(self, learned: Sequence[int]) -> str:
        parts = (self._settings.prefix, self._vocabulary.decode(learned), self._settings.suffix)
        return " ".join(part.strip() for part in parts if part.strip())
