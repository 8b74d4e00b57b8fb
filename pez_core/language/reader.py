"""A language model as a prior asks it: for whole texts."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from .model import LanguageModel
from .prefix_cache import Past


class TextReader:
    """Reads with a LanguageModel what `priors/causal.py` wants to know, within the context that `ready` gives."""

    def __init__(self, model: LanguageModel, ready: Callable[[], AbstractContextManager[object]] = nullcontext) -> None:
        self._model, self.ready = model, ready
        self.start, self.end = model.bounds
        self.size = len(model.embeddings)
        self.context_length = model.context_length

    def encode(self, text: str) -> Sequence[int]:
        return self._model.vocabulary.encode(text)

    def states(self, ids: Tensor) -> Tensor:
        nothing = Past((), torch.zeros(len(ids), dtype=torch.long, device=self._model.device))
        return self._model.states(self._model.embed(ids.to(self._model.device)), nothing)

    def logits(self, states: Tensor) -> Tensor:
        return self._model.logits(states)
