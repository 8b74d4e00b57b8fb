"""A text tower, what stands around the learned tokens, and what they are searched for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .errors import PezError
from .hard_prompt import SearchSettings
from .objectives import Judged, Objective
from .tower import MAX_PROMPT_TOKENS, Remembered, TextTower
from .vocabulary import Vocabulary


class Frame:
    """Learned tokens between start and prefix before them, suffix and end after, scored by an objective.

    Start and prefix do not depend on what is learned, so the tower reads them once.
    Raises PezError when prefix, prompt and suffix do not fit the context.
    """

    def __init__(
        self, tower: TextTower, vocabulary: Vocabulary, objective: Objective, settings: SearchSettings
    ) -> None:
        before, after = vocabulary.encode(settings.prefix), vocabulary.encode(settings.suffix)
        length = len(before) + settings.tokens + len(after)
        if length > MAX_PROMPT_TOKENS:
            raise PezError(
                f"prefix, prompt length and suffix take {length} tokens together; "
                f"shorten them to {MAX_PROMPT_TOKENS} or fewer."
            )
        self.tower, self._objective = tower, objective
        self.before, self.after = tuple(before), tuple(after)
        self._past = tower.remember([tower.start_id, *before])
        self._end = tower.embed(torch.tensor([*after, tower.end_id], device=tower.device))

    def features(self, learned: Tensor, past: Remembered | None = None) -> Tensor:
        """Unit features (B, F) of embedded learned tokens (B, M, D), after the start or another `past`."""
        count = len(learned)
        embedded = torch.cat([learned, self._end.expand(count, -1, -1)], 1)
        ends = torch.full((count,), embedded.shape[1] - 1, device=embedded.device)
        return self.tower.encode(embedded, ends, past or self._past)

    @torch.no_grad()
    def judge_swaps(self, learned: Sequence[int], position: int, tokens: Tensor) -> Judged:
        """Learned ids with each of `tokens` (N,) in turn at one position; what stands before it is read once."""
        past = self.tower.remember([self.tower.start_id, *self.before, *learned[:position]])
        after = torch.tensor(learned[position + 1 :], dtype=torch.long, device=tokens.device)
        ids = torch.cat([tokens[:, None], after.expand(len(tokens), -1)], 1)
        return self._judged(self.features(self.tower.embed(ids), past))

    def judge_prompt(self, tokens: Sequence[int]) -> Judged:
        """A whole prompt by its ids, of any length."""
        return self._judged(self.tower.encode_ids([tokens]))

    def judge_with_gradient(self, ids: Tensor, generator: torch.Generator | None = None) -> tuple[Judged, Tensor]:
        """Learned ids (B, M), all targets counted, and the gradient (B, M, D) of the loss, 1 − score, by embeddings.

        With a generator, the loss is that of a random mini-batch of the targets.
        """
        embedded = self.tower.embed(ids).requires_grad_(True)
        features = self.features(embedded)
        loss = 1 - self._objective.score(features, generator)
        (gradient,) = torch.autograd.grad(loss.sum(), embedded)
        return self._judged(features.detach()), gradient

    def _judged(self, features: Tensor) -> Judged:
        return Judged(self._objective.score(features), self._objective.similarity(features))
