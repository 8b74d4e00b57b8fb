"""What learned ids are judged by: task and fluency on a mini-batch of examples."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..optimiser.judge import Verdict
from .classifier import Classifier, Scores, TokenisedExamples

EXAMPLES_TOGETHER = 256
RACE_EXAMPLES, RACERS_PER_WINNER = 8, 4
FLUENCY_TEXTS = 2


class ClassificationJudge:
    """The loss (1 − λ) · cross-entropy + λ · surprise of the prompt (Wen et al. 2023, section 5), and its gradient."""

    def __init__(self, classifier: Classifier, examples: TokenisedExamples, batch: int, fluency: float) -> None:
        self._classifier, self._examples, self._fluency = classifier, examples, fluency
        self._batch = min(batch, len(examples))

    def with_gradient(self, ids: Tensor, generator: torch.Generator | None = None) -> tuple[Verdict, Tensor]:
        """The verdict on ids (B, M), and the gradient (B, M, D) of the loss.

        With a generator by a random mini-batch, else by all examples.
        """
        return self.embedded_with_gradient(self._classifier.model.embed(ids), self.drawn(generator), ids)

    def embedded_with_gradient(
        self, embedded: Tensor, examples: TokenisedExamples, ids: Tensor | None = None
    ) -> tuple[Verdict, Tensor]:
        """Embedded prompts (B, M, D), which need no ids where fluency does not count."""
        embedded = embedded.detach().requires_grad_(True)
        scores = self._classifier.scores(embedded, examples, ids, FLUENCY_TEXTS if self._fluency else 0)
        verdict, loss = self._loss(scores, examples)
        (gradient,) = torch.autograd.grad(loss.sum(), embedded)
        return verdict, gradient.float()

    @torch.no_grad()
    def verdict(self, ids: Tensor, examples: TokenisedExamples | None = None) -> Verdict:
        """Ids (B, M) without a gradient, by all examples unless some are given."""
        examples = examples or self._examples
        together = max(1, EXAMPLES_TOGETHER // len(examples))
        found = []
        for some in torch.split(ids, together):
            embedded = self._classifier.model.embed(some)
            scores = self._classifier.scores(embedded, examples, some, FLUENCY_TEXTS if self._fluency else 0)
            found.append(self._loss(scores, examples)[0])
        return Verdict(*(torch.cat(parts) for parts in zip(*found)))

    def swaps(self, learned: Sequence[int], position: int, tokens: Tensor) -> Verdict:
        """Learned ids with each of `tokens` (N,) in turn at one position.

        All race over the first few examples, and only those in front are judged by all; the score of the others is −∞.
        """
        ids = torch.tensor([list(learned)], device=tokens.device).repeat(len(tokens), 1)
        ids[:, position] = tokens
        if len(self._examples) <= RACE_EXAMPLES:
            return self.verdict(ids)
        raced = self.verdict(ids, self._examples.take(range(RACE_EXAMPLES)))
        front = raced.score.topk(-(-len(tokens) // RACERS_PER_WINNER)).indices
        beaten = torch.full_like(raced.score, float("-inf"))
        judged = self.verdict(ids[front])
        return Verdict(beaten.index_copy(0, front, judged.score), raced.reported.index_copy(0, front, judged.reported))

    def drawn(self, generator: torch.Generator | None) -> TokenisedExamples:
        """A random mini-batch, or all examples without a generator."""
        if generator is None or self._batch == len(self._examples):
            return self._examples
        return self._examples.take(torch.randperm(len(self._examples), generator=generator)[: self._batch].tolist())

    def _loss(self, scores: Scores, examples: TokenisedExamples) -> tuple[Verdict, Tensor]:
        labels = torch.tensor(examples.labels, device=scores.classes.device)
        loss = (1 - self._fluency) * scores.loss(labels)
        if scores.surprise is not None:
            loss = loss + self._fluency * scores.surprise
        right = (scores.classes.detach().argmax(-1) == labels).float().mean(1)
        return Verdict(-loss.detach(), right), loss
