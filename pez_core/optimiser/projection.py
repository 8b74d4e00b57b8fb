"""Projection of the iterate onto the vocabulary (Wen et al. 2023, section 3, Proj_E)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..device.frozen_linear import table_products

CHUNK = 4096
CHUNK_ON_GPU = 8192
DENSE = 0.75


class _Piece(NamedTuple):
    """Some rows of the tables, by a slice or an index; their ids (C,), and what makes products comparable cosines.

    `scales` holds a factor (C, 1) for each table.
    """

    rows: slice | Tensor
    ids: Tensor
    scales: tuple[Tensor, ...]
    offset: Tensor


class Projection:
    """Nearest allowed token embedding by cosine, straight from the encoder's tables.

    `tables` holds the embeddings (V, D) of each tower: one, or several of one vocabulary, whose embeddings side by side
    are the iterate's. Nearness is the mean of the cosines of each, so that no table rules by its larger norms.
    `allowed` are the ids that may be chosen (A,), ascending; `handicap` (A,) is taken off the nearness of each. Few
    numbers per id are kept: the tables are searched in pieces, and a cosine is a product divided by a norm that was
    taken once. `preferred` are the allowed ids without a handicap.
    """

    def __init__(self, tables: Sequence[Tensor], allowed: Tensor, handicap: Tensor | None = None) -> None:
        self._tables = [table.detach() for table in tables]
        self._widths = [table.shape[1] for table in tables]
        device = tables[0].device
        self.allowed = allowed.to(device)
        self.preferred = self.allowed if handicap is None else self.allowed[(handicap == 0).to(device)]
        self._offset = torch.full((len(tables[0]), 1), float("-inf"), device=device)
        self._offset[self.allowed, 0] = 0 if handicap is None else -handicap.to(self._offset)
        chunk = CHUNK if device.type == "cpu" else CHUNK_ON_GPU
        self._pieces = [self._piece(ids) for ids in torch.split(self.allowed, chunk)]

    def __call__(self, iterate: Tensor) -> Tensor:
        """Ids (B, M) of the tokens nearest to `iterate` (B, M, D)."""
        wanted = [F.normalize(part, dim=-1) for part in self._parts(iterate.flatten(0, -2).float())]
        found = [self._nearest(piece, wanted) for piece in self._pieces]
        best = torch.stack([cosines for cosines, _ in found]).argmax(0)
        ids = torch.stack([ids for _, ids in found]).gather(0, best[None])[0]
        return ids.view(iterate.shape[:-1])

    def products(self, vectors: Tensor) -> Tensor:
        """Products (N, P) of vectors (N, D) with the embeddings of the preferred ids, in their order."""
        parts = self._parts(vectors)
        found = [
            torch.stack([table_products(table[ids], part) for table, part in zip(self._tables, parts)]).sum(0)
            for ids in torch.split(self.preferred, CHUNK)
        ]
        return torch.cat(found).T

    def random_ids(self, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
        """Ids drawn evenly from the allowed ones, from a generator on the CPU so that every device starts alike."""
        choice = torch.randint(len(self.allowed), shape, generator=generator)
        return self.allowed[choice.to(self.allowed.device)]

    def _piece(self, ids: Tensor) -> _Piece:
        first, last = int(ids[0]), int(ids[-1]) + 1
        rows: slice | Tensor = ids
        if len(ids) >= DENSE * (last - first):
            rows, ids = slice(first, last), torch.arange(first, last, device=ids.device)
        norms = [torch.linalg.vector_norm(table[rows].float(), dim=1, keepdim=True) for table in self._tables]
        scales = [norm.clamp(min=1e-12).reciprocal() / len(norms) for norm in norms]
        return _Piece(rows, ids, tuple(scales), self._offset[rows])

    def _nearest(self, piece: _Piece, wanted: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        nearness = piece.offset
        for table, part, scale in zip(self._tables, wanted, piece.scales):
            nearness = torch.addcmul(nearness, table_products(table[piece.rows], part), scale)
        nearest, row = nearness.max(0)
        return nearest, piece.ids[row]

    def _parts(self, vectors: Tensor) -> Sequence[Tensor]:
        parts: Sequence[Tensor] = vectors.split(self._widths, -1)  # type: ignore[no-untyped-call]
        return parts
