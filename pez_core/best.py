"""The best text so far, judged by what the tokenizer makes of the text rather than by the ids that were tried."""

from __future__ import annotations

from torch import Tensor

from .hard_prompt import SearchSettings
from .objectives import Objective
from .tower import MAX_PROMPT_TOKENS, TextTower
from .vocabulary import Vocabulary, blocked_phrases


class Best:
    """Keeps the highest-scoring text. Ids that the round trip changes are scored again as they come back."""

    def __init__(
        self, tower: TextTower, vocabulary: Vocabulary, objective: Objective, settings: SearchSettings
    ) -> None:
        self._tower, self._vocabulary, self._objective = tower, vocabulary, objective
        self._settings = settings
        self._blocked = blocked_phrases(settings.blocklist)
        self._rejected: set[tuple[int, ...]] = set()
        self.score = float("-inf")
        self.similarity = float("-inf")
        self.text = ""
        self.tokens: tuple[int, ...] = ()

    def offer(self, ids: Tensor, scores: Tensor) -> None:
        """Consider learned ids (B, M) that scored `scores` (B,) before the round trip."""
        for score, row in sorted(zip(scores.tolist(), ids.tolist()), reverse=True):
            if score <= self.score:
                return
            if tuple(row) not in self._rejected:
                self._consider(row)

    def _consider(self, learned: list[int]) -> None:
        text = self._whole_text(learned)
        tokens = self._vocabulary.encode(text)
        fits = 0 < len(tokens) <= min(MAX_PROMPT_TOKENS, self._longest)
        if fits and not self._blocked.search(self._vocabulary.decode(learned)):
            features = self._tower.encode_ids([tokens])
            score = self._objective.score(features).item()
            if score > self.score:
                self.score, self.similarity = score, self._objective.similarity(features).item()
                self.text, self.tokens = text, tuple(tokens)
                return
        self._rejected.add(tuple(learned))

    def _whole_text(self, learned: list[int]) -> str:
        parts = (self._settings.prefix, self._vocabulary.decode(learned), self._settings.suffix)
        return " ".join(part.strip() for part in parts if part.strip())

    @property
    def _longest(self) -> int:
        fixed = (self._settings.prefix, self._settings.suffix)
        return self._settings.tokens + sum(len(self._vocabulary.encode(part)) for part in fixed)
