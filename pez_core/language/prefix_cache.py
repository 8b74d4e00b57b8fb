"""What a language model has read: keys and values of a text, kept for every prompt that follows it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

KEPT_BYTES = 3 * 2**30
READ_TOGETHER = 16

Ids = tuple[int, ...]
KeysValues = tuple[tuple[Tensor, Tensor], ...]


@dataclass(frozen=True)
class CachedPrefix:
    """One text: keys and values (H, P, d) of each layer, and the last state (D,); None where nothing was read."""

    layers: KeysValues
    last_state: Tensor | None

    @property
    def bytes(self) -> int:
        return sum(part.nbytes for pair in self.layers for part in pair)


@dataclass(frozen=True)
class Past:
    """Texts to go on from: keys and values (N, H, P, d) of each layer, padded on the left; their lengths (N,)."""

    layers: KeysValues
    lengths: Tensor

    def repeated(self, times: int) -> Past:
        """All texts again and again: for `times` candidates."""
        layers = tuple((keys.repeat(times, 1, 1, 1), values.repeat(times, 1, 1, 1)) for keys, values in self.layers)
        return Past(layers, self.lengths.repeat(times))


def gather(prefixes: Sequence[CachedPrefix], device: torch.device) -> Past:
    """Texts of any lengths, side by side."""
    lengths = [prefix.layers[0][0].shape[1] if prefix.layers else 0 for prefix in prefixes]
    longest = max(lengths)
    if not longest:
        return Past((), torch.zeros(len(prefixes), dtype=torch.long, device=device))
    full = next(prefix for prefix in prefixes if prefix.layers)

    def side_by_side(layer: int, part: int) -> Tensor:
        like = full.layers[layer][part]
        padded = like.new_zeros((len(prefixes), like.shape[0], longest, like.shape[2]))
        for row, prefix, length in zip(padded, prefixes, lengths):
            if length:
                row[:, longest - length :] = prefix.layers[layer][part]
        return padded

    layers = tuple((side_by_side(layer, 0), side_by_side(layer, 1)) for layer in range(len(full.layers)))
    return Past(layers, torch.tensor(lengths, device=device))


class PrefixCache:
    """Prefixes by their ids. Each text is read once, and again only when it fell out for lack of room.

    All together take `most_bytes` at most.
    """

    def __init__(self, read: Callable[[Sequence[Ids]], list[CachedPrefix]], kept_bytes: int = KEPT_BYTES) -> None:
        self._read, self._room, self.most_bytes = read, kept_bytes, kept_bytes
        self._kept: OrderedDict[Ids, CachedPrefix] = OrderedDict()

    def __call__(self, texts: Sequence[Ids]) -> list[CachedPrefix]:
        """Prefixes of texts, in their order."""
        missing = sorted({text for text in texts if text not in self._kept}, key=lambda text: (len(text), text))
        found = {text: self._kept[text] for text in texts if text in self._kept}
        for first in range(0, len(missing), READ_TOGETHER):
            some = missing[first : first + READ_TOGETHER]
            found.update(zip(some, self._read(some)))
        for text in dict.fromkeys(texts):
            self._keep(text, found[text])
        return [found[text] for text in texts]

    @property
    def kept_bytes(self) -> int:
        """How much is remembered now."""
        return sum(prefix.bytes for prefix in self._kept.values())

    def forget(self) -> None:
        """Let go of all prefixes."""
        self._room += self.kept_bytes
        self._kept.clear()

    def _keep(self, text: Ids, prefix: CachedPrefix) -> None:
        if text in self._kept:
            self._kept.move_to_end(text)
            return
        self._kept[text] = prefix
        self._room -= prefix.bytes
        while self._room < 0:
            _, oldest = self._kept.popitem(last=False)
            self._room += oldest.bytes
