"""Scores of texts of any length, each read once."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain

import torch
from torch import Tensor

from ..device.out_of_memory import in_parts
from ..feature_judge import FeatureJudge

Ids = tuple[int, ...]
Words = tuple[Ids, ...]

TOGETHER = 512


def spelled(words: Words) -> Ids:
    """The ids of words one after the other."""
    return tuple(chain.from_iterable(words))


class Texts:
    """What learned ids score under an objective, in logits: cosines times the tower's scale, comparable with nats.

    `read` has the features (F,) of texts; objectives may share it. `pause` is called after every `TOGETHER` texts.
    """

    def __init__(self, judge: FeatureJudge, read: dict[Ids, Tensor], pause: Callable[[], None]) -> None:
        self.judge = judge
        self._read, self._pause = read, pause

    @property
    def room(self) -> int:
        """How many ids are read at most."""
        return self.judge.tower.window - len(self.judge.before) - len(self.judge.after)

    def scores(self, prompts: Sequence[Ids]) -> Tensor:
        """Scores (N,) in logits by the objective alone, higher is better; NaN counts as the lowest."""
        new = sorted({prompt for prompt in prompts if prompt not in self._read}, key=lambda each: (len(each), each))
        if new:
            self._read.update(zip(new, torch.cat(in_parts(self._features, new, TOGETHER))))
        features = torch.stack([self._read[prompt] for prompt in prompts])
        return self._logits(self.judge.objective.score(features))

    def followed(self, prompt: Ids, words: Sequence[int]) -> Tensor:
        """Scores (N,) in logits of a prompt followed by each word; the prompt is read once, and nothing is kept."""
        tokens = torch.tensor(words, device=self.judge.tower.device)
        return self._logits(torch.cat(in_parts(partial(self._swaps, prompt), tokens, TOGETHER)))

    def _swaps(self, prompt: Ids, tokens: Tensor) -> Tensor:
        scores = self.judge.swaps(prompt, len(prompt), tokens).score
        self._pause()
        return scores

    def _logits(self, scores: Tensor) -> Tensor:
        return (self.judge.tower.logit_scale * scores).cpu().nan_to_num(nan=-torch.inf)

    def _features(self, prompts: Sequence[Ids]) -> Tensor:
        features = self.judge.read(prompts)
        self._pause()
        return features
