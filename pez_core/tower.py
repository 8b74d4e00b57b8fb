"""Frozen text towers, differentiable in their input embeddings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .errors import PezError
from .objectives import unit

CONTEXT_LENGTH = 77
MAX_PROMPT_TOKENS = CONTEXT_LENGTH - 2


class TextTower(ABC):
    """A CLIP text encoder over embeddings instead of ids.

    The tower is causal and pools at the end token (Radford et al. 2021, section 2.4), so positions after the end cannot
    matter and are not computed. No weight is copied and none gets a gradient.
    """

    name: str
    start_id: int
    end_id: int

    @property
    @abstractmethod
    def embeddings(self) -> Tensor:
        """The token embedding table (V, D), the encoder's own memory."""

    @abstractmethod
    def encode(self, embedded: Tensor, ends: Tensor) -> Tensor:
        """Unit text features (B, F), fp32, of embedded tokens (B, L ≤ 77, D) pooled at the positions `ends` (B,)."""

    @property
    def device(self) -> torch.device:
        return self.embeddings.device

    def embed(self, ids: Tensor) -> Tensor:
        """Token embeddings (…, D), fp32, of ids (…)."""
        return self.embeddings[ids].float()

    @torch.no_grad()
    def encode_ids(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Unit features (N, F) of prompts given as ids without start and end; ids past the 75th are left out."""
        kept = [list(ids[:MAX_PROMPT_TOKENS]) for ids in prompts]
        longest = max(map(len, kept))
        rows = [[self.start_id, *ids] + [self.end_id] * (longest + 1 - len(ids)) for ids in kept]
        ends = torch.tensor([len(ids) + 1 for ids in kept], device=self.device)
        return self.encode(self.embed(torch.tensor(rows, device=self.device)), ends)


class OpenClipTower(TextTower):
    """The text tower of an open_clip model, run through the model's own modules."""

    def __init__(self, model: nn.Module, name: str, start_id: int, end_id: int) -> None:
        """Raises PezError when the model's text tower is not CLIP's: causal, pooled at its end token, 77 positions."""
        text = getattr(model, "text", model)
        pool = getattr(text, "pool_type", getattr(text, "text_pool_type", None))
        mask = getattr(text, "attn_mask", None)
        if pool != "argmax" or mask is None or tuple(mask.shape) != (CONTEXT_LENGTH, CONTEXT_LENGTH):
            raise PezError(f"model {name!r} has no CLIP text tower; choose one like ViT-L-14 or ViT-H-14.")
        self.name, self.start_id, self.end_id = name, start_id, end_id
        self._text: Any = text.requires_grad_(False).eval()

    @property
    def embeddings(self) -> Tensor:
        table: Tensor = self._text.token_embedding.weight
        return table

    def encode(self, embedded: Tensor, ends: Tensor) -> Tensor:
        text, length = self._text, embedded.shape[1]
        states = (embedded + text.positional_embedding[:length]).to(text.transformer.get_cast_dtype())
        states = text.ln_final(text.transformer(states, attn_mask=text.attn_mask[:length, :length]))
        pooled = states[torch.arange(len(states), device=states.device), ends]
        projection = text.text_projection
        if projection is not None:
            pooled = projection(pooled) if isinstance(projection, nn.Module) else pooled @ projection
        return unit(pooled)
