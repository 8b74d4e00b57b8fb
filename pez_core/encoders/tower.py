"""Frozen text towers, differentiable in their input embeddings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .transformer import Block, past_length, read_at, remember

Remembered = Sequence[Any]


class TextTower(ABC):
    """A CLIP text encoder over embeddings instead of ids. No weight is copied and none gets a gradient.

    `context_length` is how many positions it has, those of start and end included. `logit_scale` is what similarities
    were multiplied by in its training to be logits (Radford et al. 2021, section 2.5): 100 for the published CLIPs.
    """

    name: str
    start_id: int
    end_id: int
    context_length: int
    logit_scale: float = 100.0

    @property
    @abstractmethod
    def tables(self) -> Sequence[Tensor]:
        """The token embedding table (V, D) of each tower, the encoder's own memory where it can be."""

    @property
    @abstractmethod
    def width(self) -> int:
        """How many numbers D an embedding has; those of all tables together."""

    @abstractmethod
    def remember(self, ids: Sequence[int]) -> Remembered:
        """A start that many sequences share, computed once."""

    @abstractmethod
    def encode(self, embedded: Tensor, ends: Tensor, past: Remembered = ()) -> Tensor:
        """Unit text features (B, F), fp32, of embedded tokens (B, L, D) whose end tokens stand at `ends` (B,).

        With `past` the tokens follow those remembered; both together fit the context. `ends` counts from the first
        token of `embedded`.
        """

    @property
    def device(self) -> torch.device:
        return self.tables[0].device

    @property
    def queued(self) -> bool:
        """Whether work is only queued when it is asked for, as on a GPU, so that reading a result waits for it."""
        return self.device.type != "cpu"

    def embed(self, ids: Tensor) -> Tensor:
        """Token embeddings (…, D), fp32, of ids (…); those of several tables side by side."""
        return torch.cat([table[ids].float() for table in self.tables], -1)

    @property
    def capturable(self) -> bool:
        """Whether a step can be captured as a CUDA graph, since it is always the same work in the same memory."""
        return False

    @property
    def window(self) -> int:
        """How many tokens of a text are read at once: the context without start and end."""
        return self.context_length - 2

    @property
    def windowed(self) -> str:
        """Which tower `window` is of, where there are others that read more at once; else nothing."""
        return ""

    @torch.no_grad()
    def encode_ids(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Unit features (N, F) of prompts by their ids without start and end; those past a window are left out."""
        kept = [list(ids[: self.window]) for ids in prompts]
        longest = max(map(len, kept))
        rows = [[self.start_id, *ids] + [self.end_id] * (longest + 1 - len(ids)) for ids in kept]
        ends = torch.tensor([len(ids) + 1 for ids in kept], device=self.device)
        return self.encode(self.embed(torch.tensor(rows, device=self.device)), ends)


class CausalTower(TextTower):
    """One transformer, pooled at the end token (Radford et al. 2021, section 2.4).

    It is causal, so positions after the end cannot matter and are not computed.
    """

    blocks: Sequence[Block]
    pad_id: int

    @abstractmethod
    def place(self, embedded: Tensor, first: int) -> Tensor:
        """States (B, L, D) that enter the blocks: embeddings with their positions, from `first` on."""

    @abstractmethod
    def final_norm(self, states: Tensor) -> Tensor:
        """Normalised states (…, D)."""

    @abstractmethod
    def read(self, pooled: Tensor) -> Tensor:
        """Text features (B, F) of last states (B, D): final norm and text projection."""

    @torch.no_grad()
    def remember(self, ids: Sequence[int]) -> Remembered:
        embedded = self.embed(torch.tensor([list(ids)], device=self.device))
        return remember(self.blocks, self.place(embedded, 0))

    def encode(self, embedded: Tensor, ends: Tensor, past: Remembered = ()) -> Tensor:
        states = self.place(embedded, past_length(past))
        return unit(self.read(read_at(self.blocks, states, ends, past)))


class WrappedTower(TextTower):
    """A tower that reads texts in its own way, by the embeddings of another one."""

    def __init__(self, tower: TextTower) -> None:
        self.name, self.start_id, self.end_id = tower.name, tower.start_id, tower.end_id
        self.context_length = tower.context_length
        self._wrapped = tower

    @property
    def tables(self) -> Sequence[Tensor]:
        return self._wrapped.tables

    @property
    def width(self) -> int:
        return self._wrapped.width

    @property
    def device(self) -> torch.device:
        return self._wrapped.device

    @property
    def capturable(self) -> bool:
        return self._wrapped.capturable

    def embed(self, ids: Tensor) -> Tensor:
        return self._wrapped.embed(ids)


def unit(features: Tensor) -> Tensor:
    """Features (N, F) at unit norm, fp32."""
    return F.normalize(features.float(), dim=-1)
