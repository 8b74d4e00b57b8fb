"""Prompts by their accuracy on the validation data."""

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..optimiser.judge import Offer
from .classifier import Classifier
from .data import Examples
from .evaluation import Prompt, class_scores
from .prefix_cache import Ids
from .result import Ranked


class Ranking:
    """Keeps the best prompts. What a text does is judged by the text, filled into the template and tokenised again.

    Between two validations it remembers the offer that did best on its mini-batch, and the last one. Texts in which
    `blocked` is found are never considered. Of soft prompts, which have no text, only the best is kept, as `soft`.
    """

    def __init__(self, classifier: Classifier, validation: Examples, keep: int, blocked: re.Pattern[str]) -> None:
        self._classifier, self._validation, self._keep, self._blocked = classifier, validation, keep, blocked
        self._labels = torch.tensor(validation.labels)
        self._waiting: list[Ids] = []
        self._score = float("-inf")
        self._seen: set[str] = set()
        self.ranked: list[Ranked] = []
        self.history: list[float] = []
        self.soft: Tensor | None = None

    @property
    def text(self) -> str:
        return self.ranked[0].text if self.ranked else ""

    @property
    def accuracy(self) -> float:
        return self.ranked[0].accuracy if self.ranked else 0.0

    @property
    def best_ids(self) -> Ids:
        """The best text as the model reads it."""
        return self._classifier.prompt_ids(self.text) if self.text else ()

    def consider(self, offer: Offer) -> None:
        """Remember the best of what a step tried."""
        scores, learned = offer.verdict.score.tolist(), offer.ids.tolist()
        best_first = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)
        best = next((place for place in best_first if self._admits(learned[place])), None)
        if best is None:
            return
        if scores[best] > self._score or not self._waiting:
            self._score, first = scores[best], tuple(learned[best])
        else:
            first = self._waiting[0]
        self._waiting = [first, tuple(learned[best])]

    def validate(self, prompt: Callable[[Ids], Prompt]) -> None:
        """Judge what waits, and rank it; `prompt` gives what offered ids stand for."""
        for ids in dict.fromkeys(self._waiting):
            self.judge(prompt(ids))
        self._waiting, self._score = [], float("-inf")
        self.history.append(self.accuracy)

    def judge(self, prompt: Prompt) -> None:
        """Rank a prompt by the validation data, unless it is a text that was judged before."""
        if isinstance(prompt, Tensor):
            ranked = self._judged("", prompt)
            if not self.ranked or _order(ranked) < _order(self.ranked[0]):
                self.ranked, self.soft = [ranked], prompt
        elif prompt not in self._seen:
            self._seen.add(prompt)
            self.ranked = sorted([*self.ranked, self._judged(prompt, prompt)], key=_order)[: self._keep]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The best soft prompt, as a part of the state."""
        return {} if self.soft is None else {"best_soft": self.soft}

    def state(self) -> dict[str, Any]:
        """All else that the next validations depend on."""
        return {"ranked": [asdict(ranked) for ranked in self.ranked], "history": self.history}

    def restore(self, state: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Go on from what `state` and `tensors` gave."""
        self.soft = tensors.get("best_soft")
        self.ranked = [Ranked(**ranked) for ranked in state["ranked"]]
        self.history = list(state["history"])
        self._seen = {ranked.text for ranked in self.ranked}

    def _admits(self, ids: Sequence[int]) -> bool:
        return not self._blocked.search(self._classifier.model.vocabulary.decode(ids))

    def _judged(self, text: str, prompt: Prompt) -> Ranked:
        scores = class_scores(self._classifier, prompt, self._validation)
        right = (scores.argmax(-1) == self._labels).float().mean().item()
        return Ranked(text, right, F.cross_entropy(scores, self._labels).item())


def _order(ranked: Ranked) -> tuple[float, float]:
    return -ranked.accuracy, ranked.loss
