"""Projection of the iterate onto the vocabulary (Wen et al. 2023, section 3, Proj_E)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


class Projection:
    """Nearest allowed token embedding by cosine; the embeddings are normalised once, here.

    `embeddings` is the tower's table (V, D); `allowed` the ids that may be chosen (A,).
    """

    def __init__(self, embeddings: Tensor, allowed: Tensor) -> None:
        self._allowed = allowed.to(embeddings.device)
        self._directions = F.normalize(embeddings[self._allowed].float(), dim=-1)

    def __call__(self, iterate: Tensor) -> Tensor:
        """Ids (B, M) of the tokens nearest to `iterate` (B, M, D)."""
        cosine = F.normalize(iterate, dim=-1) @ self._directions.T
        return self._allowed[cosine.argmax(dim=-1)]

    def random_ids(self, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
        """Ids drawn evenly from the allowed ones, from a generator on the CPU so that every device starts alike."""
        choice = torch.randint(len(self._allowed), shape, generator=generator)
        return self._allowed[choice.to(self._allowed.device)]
