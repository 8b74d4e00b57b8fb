"""What a search on CLIP judges learned tokens by: their text features, under an objective."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .encoders.encoder import Encoder
from .encoders.tower import Remembered
from .errors import PezError
from .objectives import Objective
from .optimiser.judge import Verdict
from .settings import SearchSettings


class FeatureJudge:
    """Judges learned tokens that stand between start and prefix before them, and suffix and end after them.

    Start and prefix do not depend on what is learned, so the tower reads them once.
    Raises PezError when prefix, prompt and suffix do not fit the tower's context.
    """

    def __init__(self, encoder: Encoder, objective: Objective, settings: SearchSettings) -> None:
        tower, encode = encoder.tower, encoder.vocabulary.encode
        before, after = encode(settings.prefix), encode(settings.suffix)
        length = len(before) + settings.tokens + len(after)
        if length > tower.window:
            raise PezError(
                f"prefix, prompt length and suffix take {length} tokens together; "
                f"shorten them to {tower.window} or fewer."
            )
        self.tower, self.objective = tower, objective
        self.before, self.after = tuple(before), tuple(after)
        self._past = tower.remember([tower.start_id, *before])
        self._end = tower.embed(torch.tensor([*after, tower.end_id], device=tower.device))

    def with_gradient(self, ids: Tensor, generator: torch.Generator | None = None) -> tuple[Verdict, Tensor]:
        """The verdict on learned ids (B, M), all targets counted, and the gradient (B, M, D) of the loss, 1 − score.

        With a generator, the loss is that of a random mini-batch of the targets.
        """
        embedded = self.tower.embed(ids).requires_grad_(True)
        features = self.features(embedded)
        loss = 1 - self.objective.score(features, generator)
        (gradient,) = torch.autograd.grad(loss.sum(), embedded)
        return self._verdict(features.detach()), gradient

    @torch.no_grad()
    def swaps(self, learned: Sequence[int], position: int, tokens: Tensor) -> Verdict:
        """Learned ids with each of `tokens` (N,) in turn at one position; what stands before it is read once."""
        past = self.tower.remember([self.tower.start_id, *self.before, *learned[:position]])
        after = torch.tensor(learned[position + 1 :], dtype=torch.long, device=tokens.device)
        ids = torch.cat([tokens[:, None], after.expand(len(tokens), -1)], 1)
        return self._verdict(self.features(self.tower.embed(ids), past))

    @torch.no_grad()
    def read(self, learned: Sequence[Sequence[int]]) -> Tensor:
        """Unit features (N, F) of learned ids of any lengths, which stand between the same prefix and suffix."""
        return self.tower.encode_ids([[*self.before, *ids, *self.after] for ids in learned])

    def prompt(self, tokens: Sequence[int]) -> Verdict:
        """A whole prompt by its ids, of any length."""
        return self._verdict(self.tower.encode_ids([tokens]))

    def features(self, learned: Tensor, past: Remembered | None = None) -> Tensor:
        """Unit features (B, F) of embedded learned tokens (B, M, D), after the start or another `past`."""
        count = len(learned)
        embedded = torch.cat([learned, self._end.expand(count, -1, -1)], 1)
        ends = torch.full((count,), embedded.shape[1] - 1, device=embedded.device)
        return self.tower.encode(embedded, ends, past or self._past)

    def _verdict(self, features: Tensor) -> Verdict:
        return Verdict(self.objective.score(features), self.objective.similarity(features))
