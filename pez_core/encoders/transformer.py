"""CLIP's causal transformer: on short sequences, after a start that is remembered, and read at one position."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Map = Callable[[Tensor], Tensor]
Past = Sequence[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Block:
    """One pre-norm layer (Radford et al. 2021, section 2.4), as functions of states (B, L, D) on frozen weights."""

    heads: int
    attention_norm: Map
    queries_keys_values: Callable[[Tensor], Sequence[Tensor]]
    attention_out: Map
    mlp_norm: Map
    mlp: Map


def past_length(past: Past) -> int:
    """How many positions are remembered."""
    return past[0][0].shape[2] if past else 0


def remember(blocks: Sequence[Block], states: Tensor) -> Past:
    """Keys and values (1, heads, P, D / heads) of each layer for a start (1, P, D) that later sequences share."""
    past = []
    for block in blocks:
        states, keys_values = _layer(block, states, _causal(states, 0), (), None)
        past.append(keys_values)
    return past


def read_at(blocks: Sequence[Block], states: Tensor, ends: Tensor, past: Past = ()) -> Tensor:
    """Last states (B, D) at positions `ends` (B,) of sequences (B, L, D) that follow the remembered start.

    The last layer asks for no other position, so no other is computed there.
    """
    mask = _causal(states, past_length(past))
    for number, block in enumerate(blocks):
        asked = ends if number == len(blocks) - 1 else None
        states, _ = _layer(block, states, mask, past[number] if past else (), asked)
    return states[:, 0]


def read_all(blocks: Sequence[Block], states: Tensor) -> Tensor:
    """States (B, L, D) at all positions of sequences (B, L, D), after all of `blocks`."""
    mask = _causal(states, 0)
    for block in blocks:
        states, _ = _layer(block, states, mask, (), None)
    return states


def _causal(states: Tensor, before: int) -> Tensor:
    length = states.shape[1]
    return torch.ones(length, before + length, dtype=torch.bool, device=states.device).tril(before)


def _layer(
    block: Block, states: Tensor, mask: Tensor, past: Sequence[Tensor], asked: Tensor | None
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    count, _, width = states.shape

    def split(projected: Tensor) -> Tensor:
        return projected.reshape(count, -1, block.heads, width // block.heads).transpose(1, 2)

    queries, keys, values = map(split, block.queries_keys_values(block.attention_norm(states)))
    if past:
        keys, values = (torch.cat([old.expand(count, -1, -1, -1), new], 2) for old, new in zip(past, (keys, values)))
    if asked is not None:
        rows = torch.arange(count, device=states.device)
        states, mask = states[rows, asked][:, None], mask[asked][:, None, None]
        queries = queries[rows, :, asked][:, :, None]
    attended = F.scaled_dot_product_attention(queries.contiguous(), keys, values, attn_mask=mask)
    states = states + block.attention_out(attended.transpose(1, 2).reshape(count, -1, width))
    return states + block.mlp(block.mlp_norm(states)), (keys, values)
