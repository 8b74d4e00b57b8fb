"""Prompts by their accuracy on the validation data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..best import Offer
from .data import Examples
from .evaluation import Prompt, class_scores
from .methods import Ids, Soft
from .task import Task


@dataclass(frozen=True)
class Ranked:
    """A prompt on the validation data: accuracy (0 to 1) and mean cross-entropy of the classes."""

    text: str
    accuracy: float
    loss: float


class Ranking:
    """Keeps the best texts. What a text does is judged by the text, filled into the template and tokenised again.

    Between two validations it remembers the offer that did best on its mini-batch, and the last one. Texts in which
    `blocked` is found are never considered.
    """

    def __init__(self, task: Task, validation: Examples, keep: int, blocked: re.Pattern[str]) -> None:
        self._task, self._validation, self._keep, self._blocked = task, validation, keep, blocked
        self._labels = torch.tensor(validation.labels)
        self._waiting: list[Ids] = []
        self._score = float("-inf")
        self._seen: set[str] = set()
        self.ranked: list[Ranked] = []
        self.history: list[float] = []
        self.soft: Soft | None = None
        self.best_soft: Tensor | None = None

    @property
    def text(self) -> str:
        return self.ranked[0].text if self.ranked else ""

    @property
    def accuracy(self) -> float:
        return self.ranked[0].accuracy if self.ranked else 0.0

    @property
    def best_ids(self) -> Ids:
        """The best text as the model reads it."""
        return self._task.prompt_ids(self.text) if self.text else ()

    def offer(self, offered: Offer) -> None:
        """What a step tried."""
        learned, scores, _ = offered
        best_first = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)
        best = next((place for place in best_first if not self._blocked.search(self._text(learned[place]))), None)
        if best is None:
            return
        if scores[best] > self._score or not self._waiting:
            self._score, first = scores[best], tuple(learned[best])
        else:
            first = self._waiting[0]
        self._waiting = [first, tuple(learned[best])]

    def validate(self) -> None:
        """Judge what waits, and rank it."""
        for ids in dict.fromkeys(self._waiting):
            if self.soft is not None:
                self._consider_soft(self.soft)
            elif ids:
                self.consider_text(self._text(ids))
        self._waiting, self._score = [], float("-inf")
        self.history.append(self.accuracy)

    def consider_text(self, text: str) -> None:
        """Judge a text, unless it was judged before."""
        if text not in self._seen:
            self._seen.add(text)
            self._rank(self._judged(text, text))

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The best soft prompt, as a part of the state."""
        return {} if self.best_soft is None else {"best_soft": self.best_soft}

    def state(self) -> dict[str, Any]:
        """All else that the next validations depend on."""
        return {"ranked": [asdict(ranked) for ranked in self.ranked], "history": self.history}

    def restore(self, state: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Go on from what `state` and `tensors` gave."""
        self.best_soft = tensors.get("best_soft")
        self.ranked = [Ranked(**ranked) for ranked in state["ranked"]]
        self.history = list(state["history"])
        self._seen = {ranked.text for ranked in self.ranked}

    def _text(self, ids: Sequence[int]) -> str:
        return self._task.model.vocabulary.decode(ids)

    def _consider_soft(self, soft: Soft) -> None:
        embedded = soft.embedded.detach()[0].clone()
        judged = self._judged("", embedded)
        if not self.ranked or _order(judged) < _order(self.ranked[0]):
            self.ranked, self.best_soft = [judged], embedded

    def _judged(self, text: str, prompt: Prompt) -> Ranked:
        scores = class_scores(self._task, prompt, self._validation)
        right = (scores.argmax(-1) == self._labels).float().mean().item()
        return Ranked(text, right, F.cross_entropy(scores, self._labels).item())

    def _rank(self, judged: Ranked) -> None:
        self.ranked = sorted([*self.ranked, judged], key=_order)[: self._keep]


def _order(ranked: Ranked) -> tuple[float, float]:
    return -ranked.accuracy, ranked.loss
