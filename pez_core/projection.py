"""Projection of the iterate onto the vocabulary (Wen et al. 2023, section 3, Proj_E)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .linear import table_products

CHUNK = 4096
CHUNK_ON_GPU = 8192
DENSE = 0.75


class _Piece(NamedTuple):
    """Some rows of the table, by a slice or an index; their ids (C,), and what makes a product a comparable cosine."""

    rows: slice | Tensor
    ids: Tensor
    scale: Tensor
    offset: Tensor


class Projection:
    """Nearest allowed token embedding by cosine, straight from the encoder's table.

    `embeddings` is that table (V, D); `allowed` the ids that may be chosen (A,), ascending; `handicap` (A,) is taken
    off the cosine of each. Only two numbers per id are kept: the table is searched in pieces, and a cosine is a product
    divided by a norm that was taken once. `preferred` are the allowed ids without a handicap.
    """

    def __init__(self, embeddings: Tensor, allowed: Tensor, handicap: Tensor | None = None) -> None:
        self._table = embeddings.detach()
        self.allowed = allowed.to(embeddings.device)
        self.preferred = self.allowed if handicap is None else self.allowed[(handicap == 0).to(embeddings.device)]
        self._offset = torch.full((len(embeddings), 1), float("-inf"), device=embeddings.device)
        self._offset[self.allowed, 0] = 0 if handicap is None else -handicap.to(self._offset)
        chunk = CHUNK if embeddings.device.type == "cpu" else CHUNK_ON_GPU
        self._pieces = [self._piece(ids) for ids in torch.split(self.allowed, chunk)]

    def __call__(self, iterate: Tensor) -> Tensor:
        """Ids (B, M) of the tokens nearest to `iterate` (B, M, D)."""
        wanted = F.normalize(iterate.flatten(0, -2).float(), dim=-1)
        found = [self._nearest(piece, wanted) for piece in self._pieces]
        best = torch.stack([cosines for cosines, _ in found]).argmax(0)
        ids = torch.stack([ids for _, ids in found]).gather(0, best[None])[0]
        return ids.view(iterate.shape[:-1])

    def products(self, vectors: Tensor) -> Tensor:
        """Products (N, P) of vectors (N, D) with the embeddings of the preferred ids, in their order."""
        parts = [table_products(self._table[ids], vectors) for ids in torch.split(self.preferred, CHUNK)]
        return torch.cat(parts).T

    def random_ids(self, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
        """Ids drawn evenly from the allowed ones, from a generator on the CPU so that every device starts alike."""
        choice = torch.randint(len(self.allowed), shape, generator=generator)
        return self.allowed[choice.to(self.allowed.device)]

    def _piece(self, ids: Tensor) -> _Piece:
        first, last = int(ids[0]), int(ids[-1]) + 1
        rows: slice | Tensor = ids
        if len(ids) >= DENSE * (last - first):
            rows, ids = slice(first, last), torch.arange(first, last, device=ids.device)
        norms = torch.linalg.vector_norm(self._table[rows].float(), dim=1, keepdim=True)
        return _Piece(rows, ids, norms.clamp(min=1e-12).reciprocal(), self._offset[rows])

    def _nearest(self, piece: _Piece, wanted: Tensor) -> tuple[Tensor, Tensor]:
        products = table_products(self._table[piece.rows], wanted)
        cosines, row = torch.addcmul(piece.offset, products, piece.scale).max(0)
        return cosines, piece.ids[row]
