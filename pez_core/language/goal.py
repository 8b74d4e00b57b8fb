"""What learned ids are judged by: task and fluency on a mini-batch of examples."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..objectives import Judged
from .task import Rows, Scores, Task

ROWS_TOGETHER = 256
RACE_ROWS, RACERS_PER_WINNER = 8, 4
FLUENCY_TEXTS = 2


class ClassificationGoal:
    """The loss (1 − λ) · cross-entropy + λ · surprise of the prompt (Wen et al. 2023, section 5), and its gradient."""

    def __init__(self, task: Task, rows: Rows, batch: int, fluency: float) -> None:
        self._task, self._rows, self._fluency = task, rows, fluency
        self._batch = min(batch, len(rows))

    def judge_with_gradient(self, ids: Tensor, generator: torch.Generator | None = None) -> tuple[Judged, Tensor]:
        """Ids (B, M) judged by a random mini-batch, or by all rows without a generator; the gradient (B, M, D)."""
        return self.judge_embedded(self._task.model.embed(ids), self.drawn(generator), ids)

    def judge_embedded(self, embedded: Tensor, rows: Rows, ids: Tensor | None = None) -> tuple[Judged, Tensor]:
        """Embedded prompts (B, M, D), which need no ids where fluency does not count."""
        embedded = embedded.detach().requires_grad_(True)
        scores = self._task.scores(embedded, rows, ids, FLUENCY_TEXTS if self._fluency else 0)
        judged, loss = self._judged(scores, rows)
        (gradient,) = torch.autograd.grad(loss.sum(), embedded)
        return judged, gradient.float()

    @torch.no_grad()
    def judge(self, ids: Tensor, rows: Rows | None = None) -> Judged:
        """Ids (B, M) without a gradient, by all rows unless some are given."""
        rows = rows or self._rows
        together = max(1, ROWS_TOGETHER // len(rows))
        found = []
        for some in torch.split(ids, together):
            embedded = self._task.model.embed(some)
            scores = self._task.scores(embedded, rows, some, FLUENCY_TEXTS if self._fluency else 0)
            found.append(self._judged(scores, rows)[0])
        return Judged(*(torch.cat(parts) for parts in zip(*found)))

    def judge_swaps(self, learned: Sequence[int], position: int, tokens: Tensor) -> Judged:
        """Learned ids with each of `tokens` (N,) in turn at one position.

        All race over the first few rows, and only those in front are judged by all rows; the score of the others is −∞.
        """
        ids = torch.tensor([list(learned)], device=tokens.device).repeat(len(tokens), 1)
        ids[:, position] = tokens
        if len(self._rows) <= RACE_ROWS:
            return self.judge(ids)
        raced = self.judge(ids, self._rows.take(range(RACE_ROWS)))
        front = raced.score.topk(-(-len(tokens) // RACERS_PER_WINNER)).indices
        beaten = torch.full_like(raced.score, float("-inf"))
        judged = self.judge(ids[front])
        return Judged(beaten.index_copy(0, front, judged.score), raced.reported.index_copy(0, front, judged.reported))

    def drawn(self, generator: torch.Generator | None) -> Rows:
        """A random mini-batch, or all rows without a generator."""
        if generator is None or self._batch == len(self._rows):
            return self._rows
        return self._rows.take(torch.randperm(len(self._rows), generator=generator)[: self._batch].tolist())

    def _judged(self, scores: Scores, rows: Rows) -> tuple[Judged, Tensor]:
        labels = torch.tensor(rows.labels, device=scores.classes.device)
        loss = (1 - self._fluency) * scores.loss(labels)
        if scores.surprise is not None:
            loss = loss + self._fluency * scores.surprise
        right = (scores.classes.detach().argmax(-1) == labels).float().mean(1)
        return Judged(-loss.detach(), right), loss
