"""Two text towers that read the same tokens, as SDXL's do."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .tower import Remembered, TextTower


class JointTower(TextTower):
    """Towers of one vocabulary side by side: embeddings and features are those of each tower, one after the other.

    The features of N towers are divided by √N, so a product with features made alike is the mean of the towers' cosine
    similarities. The context is that of the shortest, which has to read all of a learned prompt; of other texts each
    tower reads as much as it can.
    """

    def __init__(self, towers: Sequence[TextTower]) -> None:
        self.name = " + ".join(tower.name for tower in towers)
        self.start_id, self.end_id = towers[0].start_id, towers[0].end_id
        self.context_length = min(tower.context_length for tower in towers)
        self.logit_scale = sum(tower.logit_scale for tower in towers) / len(towers)
        self._towers = towers

    @property
    def tables(self) -> Sequence[Tensor]:
        return [table for tower in self._towers for table in tower.tables]

    @property
    def width(self) -> int:
        return sum(tower.width for tower in self._towers)

    @property
    def device(self) -> torch.device:
        return self._towers[0].device

    @property
    def windowed(self) -> str:
        shortest = min(self._towers, key=lambda tower: tower.context_length)
        even = all(tower.context_length == shortest.context_length for tower in self._towers)
        return "" if even else shortest.name

    @property
    def capturable(self) -> bool:
        return all(tower.capturable for tower in self._towers)

    def embed(self, ids: Tensor) -> Tensor:
        return torch.cat([tower.embed(ids) for tower in self._towers], -1)

    def remember(self, ids: Sequence[int]) -> Remembered:
        return [tower.remember(ids) for tower in self._towers]

    def encode(self, embedded: Tensor, ends: Tensor, past: Remembered = ()) -> Tensor:
        widths = [tower.width for tower in self._towers]
        parts: Sequence[Tensor] = embedded.split(widths, -1)  # type: ignore[no-untyped-call]
        pasts = past or [()] * len(parts)
        features = [tower.encode(part, ends, own) for tower, part, own in zip(self._towers, parts, pasts)]
        return side_by_side(features)

    def encode_ids(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        return side_by_side([tower.encode_ids(prompts) for tower in self._towers])


def side_by_side(features: Sequence[Tensor]) -> Tensor:
    """Unit features (B, F) of N spaces as one unit vector, whose products are the mean of theirs."""
    return torch.cat(list(features), -1) / math.sqrt(len(features))
