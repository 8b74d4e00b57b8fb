"""The published loop, written out plainly, for comparison only (Wen et al. 2023, algorithm 1 and its reference code).

One prompt, 77 positions, the whole vocabulary normalised and searched at every step, one forward pass to judge the
projection and another for its gradient, and the results read back to the host at every step.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

CONTEXT_LENGTH = 77


class ReferenceStep(NamedTuple):
    """A step: the iterate (M, D) that it began with, its projected ids, and their similarity to the targets."""

    iterate: Tensor
    ids: list[int]
    similarity: float


def reference_pez(
    text: Any,
    targets: Tensor,
    start: Tensor,
    start_id: int,
    end_id: int,
    allowed: Tensor | None = None,
    learning_rate: float = 0.1,
    weight_decay: float = 0.1,
) -> Iterator[ReferenceStep]:
    """Endless steps from the ids `start` (M,) on an open_clip text tower, towards unit features `targets` (T, F).

    `allowed` are the ids that it may choose (A,); by default it may choose any.
    """
    table = text.token_embedding.weight
    forbidden = torch.ones(len(table), dtype=torch.bool, device=table.device)
    forbidden[slice(None) if allowed is None else allowed.to(table.device)] = False
    forbidden_ids = forbidden.nonzero()[:, 0]
    prompt = table[start].detach().float().clone().requires_grad_(True)
    optimiser = torch.optim.AdamW([prompt], lr=learning_rate, weight_decay=weight_decay)
    padding = torch.full((CONTEXT_LENGTH,), end_id, device=table.device)
    padding[0] = start_id
    frame = table[padding].detach().float()
    places = slice(1, 1 + len(start))

    while True:
        iterate = prompt.detach().clone()
        ids = _nearest(iterate, table, forbidden_ids)
        projected = table[ids].detach().float()
        with torch.no_grad():
            similarity = (_encode(text, _framed(frame, projected, places), places.stop) @ targets.T).mean().item()
        projected.requires_grad_(True)
        features = _encode(text, _framed(frame, projected, places), places.stop)
        loss = 1 - (features @ targets.T).mean()
        (prompt.grad,) = torch.autograd.grad(loss, projected)
        optimiser.step()
        yield ReferenceStep(iterate, ids.tolist(), similarity)


def lead(step: ReferenceStep, other: list[int], table: Tensor) -> float:
    """By how much cosine the ids of a step are nearer to its iterate than `other` ids, where that is most."""
    iterate, table = F.normalize(step.iterate, dim=-1), F.normalize(table.detach().float(), dim=-1)
    return ((table[step.ids] - table[other]) * iterate).sum(-1).abs().max().item()


def _nearest(prompt: Tensor, table: Tensor, forbidden_ids: Tensor) -> Tensor:
    cosine = F.normalize(prompt, dim=-1) @ F.normalize(table.detach().float(), dim=-1).T
    return cosine.index_fill(1, forbidden_ids, -torch.inf).argmax(dim=-1)


def _framed(frame: Tensor, projected: Tensor, places: slice) -> Tensor:
    whole = frame.clone()
    whole[places] = projected
    return whole[None]


def _encode(text: Any, embedded: Tensor, end: int) -> Tensor:
    states = (embedded + text.positional_embedding).to(text.transformer.get_cast_dtype())
    states = text.ln_final(text.transformer(states, attn_mask=text.attn_mask))
    return F.normalize((states[:, end] @ text.text_projection).float(), dim=-1)
