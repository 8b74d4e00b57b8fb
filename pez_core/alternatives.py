"""Other texts that a search came by: the best of each candidate, as far as they differ."""

from collections.abc import Callable

import torch

from .best import Best
from .optimiser.judge import Offer, Verdict

MOST_SHARED = 0.5


class Leaders:
    """The ids that scored highest of each candidate, kept on the device that they were tried on."""

    def __init__(self) -> None:
        self._leading: Offer | None = None

    def follow(self, offer: Offer) -> None:
        """See whether a candidate did better than before; of fewer candidates than before, the first are meant."""
        ids, (score, reported) = offer
        leading = self._leading
        if leading is None:
            self._leading = Offer(ids.clone(), Verdict(score.nan_to_num(nan=-torch.inf), reported.clone()))
            return
        count = len(ids)
        better = score > leading.verdict.score[:count]
        leading.ids[:count] = torch.where(better[:, None], ids, leading.ids[:count])
        for kept, new in zip(leading.verdict, offer.verdict):
            kept[:count] = torch.where(better, new, kept[:count])

    def texts(self, best: Best, another: Callable[[], Best]) -> tuple[str, ...]:
        """What the candidates found apart from `best`, the highest score first.

        Each is read back by `another` Best. Left out is what shares more than half of its tokens with a better one.
        """
        if self._leading is None:
            return ()
        found = [best]
        for text in sorted(self._read_back(self._leading, another), key=lambda each: -each.score):
            if all(_shared(text.learned, better.learned) <= MOST_SHARED for better in found):
                found.append(text)
        return tuple(text.text for text in found[1:])

    @staticmethod
    def _read_back(leading: Offer, another: Callable[[], Best]) -> list[Best]:
        texts = []
        for row in torch.isfinite(leading.verdict.score).nonzero().flatten().tolist():
            texts.append(another())
            texts[-1].consider(Offer(leading.ids[row : row + 1], Verdict(*(v[row : row + 1] for v in leading.verdict))))
        return [text for text in texts if text.text]


def _shared(ids: tuple[int, ...], others: tuple[int, ...]) -> float:
    return len(set(ids) & set(others)) / len(set(ids))
