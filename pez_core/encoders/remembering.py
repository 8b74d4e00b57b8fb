"""Features of texts that many searches read, remembered in bounded memory."""

from collections.abc import Sequence
from dataclasses import replace
from threading import Lock

import torch
from torch import Tensor

from .encoder import Encoder
from .tower import Remembered, TextTower, WrappedTower

Ids = tuple[int, ...]

OVERHEAD = 400  # bytes that finding a text takes


def remembering(encoder: Encoder, memory: int) -> Encoder:
    """The encoder with a tower that remembers the features of texts in about `memory` bytes."""
    return replace(encoder, tower=RememberingTower(encoder.tower, memory))


class RememberingTower(WrappedTower):
    """A tower that reads each text once, as long as its features (F,) are among the latest in `memory` bytes.

    Searches of several threads may share it.
    """

    def __init__(self, tower: TextTower, memory: int) -> None:
        super().__init__(tower)
        self.logit_scale = tower.logit_scale
        some = tower.encode_ids([()])
        self._features = some.new_empty(max(1, memory // (some.nbytes + OVERHEAD)), some.shape[1])
        self._places: dict[Ids, int] = {}
        self._texts: dict[int, Ids] = {}
        self._next = 0
        self._lock = Lock()

    @property
    def windowed(self) -> str:
        return self._wrapped.windowed

    def remember(self, ids: Sequence[int]) -> Remembered:
        return self._wrapped.remember(ids)

    def encode(self, embedded: Tensor, ends: Tensor, past: Remembered = ()) -> Tensor:
        return self._wrapped.encode(embedded, ends, past)

    def encode_ids(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        texts = [tuple(ids) for ids in prompts]
        with self._lock:
            places = {ids: self._places[ids] for ids in texts if ids in self._places}
            known = dict(zip(places, self._features[list(places.values())]))
        new = [ids for ids in dict.fromkeys(texts) if ids not in known]
        if new:
            read = self._wrapped.encode_ids(new)
            self._keep(new, read)
            known.update(zip(new, read))
        return torch.stack([known[ids] for ids in texts])

    def _keep(self, texts: Sequence[Ids], features: Tensor) -> None:
        """In place of those that have been there longest."""
        size = len(self._features)
        with self._lock:
            new = [number for number, ids in enumerate(texts) if ids not in self._places][:size]
            places = [(self._next + offset) % size for offset in range(len(new))]
            for place, number in zip(places, new):
                if place in self._texts:
                    del self._places[self._texts[place]]
                self._texts[place] = texts[number]
                self._places[texts[number]] = place
            self._features[places] = features[new]
            self._next = (self._next + len(new)) % size
