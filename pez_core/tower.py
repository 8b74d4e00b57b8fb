"""Frozen text towers, differentiable in their input embeddings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .blocks import Block, past_length, read_at, remember
from .errors import PezError
from .graph import CapturedStep
from .linear import frozen_linear
from .objectives import unit

CONTEXT_LENGTH = 77
MAX_PROMPT_TOKENS = CONTEXT_LENGTH - 2
Remembered = Sequence[Any]


class TextTower(ABC):
    """A CLIP text encoder over embeddings instead of ids. No weight is copied and none gets a gradient."""

    name: str
    start_id: int
    end_id: int

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

        With `past` the tokens follow those remembered; both together are 77 at most. `ends` counts from the first token
        of `embedded`.
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

    def accelerated(self, step: Callable[[], None], generator: torch.Generator) -> Callable[[], None]:
        """`step`, which drives this tower and draws from `generator`, in the fastest form that the tower can run."""
        return step

    @torch.no_grad()
    def encode_ids(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Unit features (N, F) of prompts given as ids without start and end; ids past the 75th are left out."""
        kept = [list(ids[:MAX_PROMPT_TOKENS]) for ids in prompts]
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


class OpenClipTower(CausalTower):
    """The text tower of an open_clip model, on the model's own weights."""

    def __init__(self, model: nn.Module, name: str, start_id: int, end_id: int) -> None:
        """Raises PezError when the model's text tower is not CLIP's: causal, pooled at its end token, 77 positions."""
        text = getattr(model, "text", model)
        pool = getattr(text, "pool_type", getattr(text, "text_pool_type", None))
        mask = getattr(text, "attn_mask", None)
        layers = getattr(getattr(text, "transformer", None), "resblocks", ())
        plain = all(type(layer).__name__ == "ResidualAttentionBlock" for layer in layers)
        if pool != "argmax" or mask is None or tuple(mask.shape) != (CONTEXT_LENGTH, CONTEXT_LENGTH) or not plain:
            raise PezError(f"model {name!r} has no CLIP text tower; choose one like ViT-L-14 or ViT-H-14.")
        self.name, self.start_id, self.end_id = name, start_id, end_id
        self._text: Any = text.requires_grad_(False).eval()
        self.blocks = [_open_clip_block(layer) for layer in layers]
        self.pad_id = getattr(text, "pad_id", 0)

    @property
    def tables(self) -> Sequence[Tensor]:
        return [self.embeddings]

    @property
    def embeddings(self) -> Tensor:
        """The token embedding table (V, D), the model's own memory."""
        table: Tensor = self._text.token_embedding.weight
        return table

    @property
    def width(self) -> int:
        return self.embeddings.shape[1]

    def accelerated(self, step: Callable[[], None], generator: torch.Generator) -> Callable[[], None]:
        return CapturedStep(step, generator) if self.device.type == "cuda" else step

    def place(self, embedded: Tensor, first: int) -> Tensor:
        positions = self._text.positional_embedding[first : first + embedded.shape[1]]
        states: Tensor = (embedded + positions).to(self._text.transformer.get_cast_dtype())
        return states

    def final_norm(self, states: Tensor) -> Tensor:
        normed: Tensor = self._text.ln_final(states)
        return normed

    def read(self, pooled: Tensor) -> Tensor:
        pooled, projection = self.final_norm(pooled), self._text.text_projection
        if projection is None:
            return pooled
        features: Tensor = projection(pooled) if isinstance(projection, nn.Module) else pooled @ projection
        return features


def _open_clip_block(layer: Any) -> Block:
    attention, mlp = layer.attn, layer.mlp

    def queries_keys_values(states: Tensor) -> Sequence[Tensor]:
        return frozen_linear(states, attention.in_proj_weight, attention.in_proj_bias).chunk(3, dim=-1)

    def attention_out(states: Tensor) -> Tensor:
        out: Tensor = layer.ls_1(frozen_linear(states, attention.out_proj.weight, attention.out_proj.bias))
        return out

    def feed_forward(states: Tensor) -> Tensor:
        hidden = mlp.gelu(frozen_linear(states, mlp.c_fc.weight, mlp.c_fc.bias))
        out: Tensor = layer.ls_2(frozen_linear(hidden, mlp.c_proj.weight, mlp.c_proj.bias))
        return out

    return Block(attention.num_heads, layer.ln_1, queries_keys_values, attention_out, layer.ln_2, feed_forward)
