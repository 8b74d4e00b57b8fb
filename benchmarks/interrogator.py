"""A prompt put together from given phrases, in the manner of CLIP Interrogator: the baseline that learns nothing.

The noun that is most similar to the picture comes first; then, again and again, the phrase that raises the similarity
most, before or after the text, from those that are most similar by themselves, until none does or the time is over.
Spaces join the phrases. With commas the prompts of the first 20 training pictures of benchmarks/data reached 0.54 in
place of 0.76, and to begin with the best pair of phrases gained nothing; both were tried by hand.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pez_core import Encoder

PHRASES = Path(__file__).parent / "data" / "phrases.json"
SHORTLIST = 48
CHUNK = 256


@dataclass(frozen=True)
class Interrogator:
    """Phrases of each kind with their features (N, F); `nouns` are names of things."""

    encoder: Encoder
    nouns: list[str]
    others: list[str]
    noun_features: Tensor
    other_features: Tensor

    @classmethod
    def load(cls, encoder: Encoder) -> Interrogator:
        """With the phrases that stand in benchmarks/data: the world's names, its styles, its colours."""
        kinds = json.loads(PHRASES.read_text(encoding="utf-8"))
        nouns, others = kinds["nouns"], [*kinds["styles"], *kinds["colours"]]
        return cls(encoder, nouns, others, _features(encoder, nouns), _features(encoder, others))

    def prompt(self, target: Tensor, seconds: float, longest: int | None = None) -> str:
        """The best prompt of at most `longest` tokens for unit features (F,) of a picture, found in so many seconds."""
        end, encode = time.monotonic() + seconds, self.encoder.vocabulary.encode
        most = self.encoder.tower.window if longest is None else longest
        nouns = [self.nouns[place] for place in (self.noun_features @ target).argsort(descending=True)]
        others = [self.others[place] for place in (self.other_features @ target).argsort(descending=True)]
        text, best, left = "", -1.0, [noun for noun in nouns if len(encode(noun)) <= most][:SHORTLIST]
        while left and time.monotonic() < end:
            longer = [f"{text} {phrase}".strip() for phrase in left] + [f"{phrase} {text}".strip() for phrase in left]
            longer = [each for each in longer if len(encode(each)) <= most]
            similarities = _features(self.encoder, longer) @ target if longer else torch.tensor([-1.0])
            if similarities.max().item() <= best:
                break
            if not text:
                left += others[:SHORTLIST]
            text, best = longer[int(similarities.argmax())], similarities.max().item()
            left = [phrase for phrase in left if phrase not in text]
        return text


def _features(encoder: Encoder, texts: list[str]) -> Tensor:
    rows = [encoder.vocabulary.encode(text) for text in texts]
    return torch.cat([encoder.tower.encode_ids(rows[start : start + CHUNK]) for start in range(0, len(rows), CHUNK)])
