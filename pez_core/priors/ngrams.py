"""A trigram model of CLIP's tokens, with interpolated Kneser–Ney smoothing (Chen and Goodman 1999, section 3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

FINENESS = 16  # levels of surprise to a nat


@dataclass(frozen=True)
class NGrams:
    """Surprise at tokens after none, one and two others, as 1 / 16 nats in a byte.

    `unigrams` is (V,). Pairs (P,) and triples (T,) are sorted: `pair_counts` (V,) says how many pairs begin with each
    id and `pair_tokens` (P,) with which they go on, `triple_counts` (P,) and `triple_tokens` (T,) the same of pairs.
    `pair_backoffs` (V,) and `triple_backoffs` (P,) are what it costs to look up fewer tokens before. `phrase_tokens`
    are those of the likeliest texts one after the other, `phrase_lengths` how many each has. The last two ids of the
    vocabulary are start and end.
    """

    unigrams: Tensor
    pair_counts: Tensor
    pair_tokens: Tensor
    pair_surprises: Tensor
    pair_backoffs: Tensor
    triple_counts: Tensor
    triple_tokens: Tensor
    triple_surprises: Tensor
    triple_backoffs: Tensor
    phrase_lengths: Tensor
    phrase_tokens: Tensor

    @classmethod
    def load(cls, path: Path) -> "NGrams":
        return cls(**load_file(path))

    def surprise(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Mean surprise (N,) at a token of each prompt and at its end, in nats."""
        longest = max(map(len, prompts)) + 1
        ids = torch.full((len(prompts), longest + 2), self._end)
        ids[:, :2] = self._start
        for row, prompt in zip(ids, prompts):
            row[2 : 2 + len(prompt)] = torch.tensor(prompt, dtype=torch.long)
        lengths = torch.tensor([len(prompt) + 1 for prompt in prompts])
        each = self._surprises(ids[:, :-2], ids[:, 1:-1], ids[:, 2:])
        return (each * (torch.arange(longest) < lengths[:, None])).sum(1) / lengths

    def phrases(self, count: int) -> list[tuple[int, ...]]:
        """The `count` likeliest whole texts, the likeliest first; those that were noted when the prior was made."""
        return self._phrases[:count]

    @property
    def _start(self) -> int:
        return len(self.unigrams) - 2

    @property
    def _end(self) -> int:
        return len(self.unigrams) - 1

    def _surprises(self, first: Tensor, second: Tensor, third: Tensor) -> Tensor:
        """Surprise at `third` after the other two, all of one shape, in nats."""
        pair, known = _places(self._pair_keys, second * len(self.unigrams) + third)
        after_one = torch.where(
            known, self.pair_surprises[pair].float(), self.pair_backoffs[second].float() + self.unigrams[third].float()
        )
        context, read = _places(self._pair_keys, first * len(self.unigrams) + second)
        triple, found = _places(self._triple_keys, context * len(self.unigrams) + third)
        after_two = torch.where(
            found, self.triple_surprises[triple].float(), self.triple_backoffs[context].float() + after_one
        )
        return torch.where(read, after_two, after_one) / FINENESS

    @cached_property
    def _phrases(self) -> list[tuple[int, ...]]:
        tokens = iter(self.phrase_tokens.tolist())
        return [tuple(islice(tokens, length)) for length in self.phrase_lengths.tolist()]

    @cached_property
    def _pair_keys(self) -> Tensor:
        return _keys(self.pair_counts, self.pair_tokens, len(self.unigrams))

    @cached_property
    def _triple_keys(self) -> Tensor:
        return _keys(self.triple_counts, self.triple_tokens, len(self.unigrams))


def _keys(counts: Tensor, tokens: Tensor, size: int) -> Tensor:
    """One ascending number for each entry: the place of what it begins with, times the vocabulary, and its token."""
    return torch.arange(len(counts)).repeat_interleave(counts.long()) * size + tokens.long()


def _places(keys: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Where keys stand among ascending ones, and whether they do."""
    place = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
    return place, keys[place] == wanted
