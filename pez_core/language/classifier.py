"""A model, a template and a verbalizer together: what every prompt is scored by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import PezError
from .data import Examples
from .model import LanguageModel
from .prefix_cache import Ids, Past, gather
from .template import Template
from .verbalizer import Verbalizer

STAND_IN = "so"
SPARE = 4


@dataclass(frozen=True)
class TokenisedExamples:
    """Examples as ids: what stands before the prompt, what stands after it, and their classes.

    `cut` of the texts were too long, and lost their ends.
    """

    heads: tuple[Ids, ...]
    tails: tuple[Ids, ...]
    labels: tuple[int, ...]
    cut: int = 0

    def __len__(self) -> int:
        return len(self.heads)

    def take(self, rows: Sequence[int]) -> TokenisedExamples:
        """Some of them, in the order asked for."""
        return TokenisedExamples(
            tuple(self.heads[row] for row in rows),
            tuple(self.tails[row] for row in rows),
            tuple(self.labels[row] for row in rows),
        )


@dataclass(frozen=True)
class Scores:
    """Class scores (B, N, K) of prompts before examples, and the mean surprise (B,) of the prompts' own tokens."""

    classes: Tensor
    surprise: Tensor | None

    def loss(self, labels: Tensor) -> Tensor:
        """Cross-entropy (B,) against labels (N,), the mean over examples."""
        wanted = labels.expand(len(self.classes), -1)
        return F.cross_entropy(self.classes.transpose(1, 2), wanted, reduction="none").mean(1)


class Classifier:
    """Scores the classes of texts by the label words that a language model expects after text and prompt.

    `label_ids` are the words as the model reads them, each behind the index of its class.

    Raises PezError when it reads two of them alike.
    """

    def __init__(self, model: LanguageModel, template: Template, verbalizer: Verbalizer) -> None:
        self.model, self.template, self.verbalizer = model, template, verbalizer
        context = template.fill("a", "")
        self.label_ids = tuple(
            (label, self._after(context, context + template.label_space + word))
            for label, words in enumerate(verbalizer.words.values())
            for word in words
        )
        if len({ids for _, ids in self.label_ids}) < len(self.label_ids):
            raise PezError("verbalizer has words that the model reads alike; choose words that differ.")

    def truncated(self, examples: Examples, tokens: int) -> tuple[Examples, int]:
        """Examples whose texts leave room for a prompt of `tokens` in the model's context, and how many were cut."""
        room = self._room(tokens)
        texts = tuple(self._within(text, room) for text in examples.texts)
        return replace(examples, texts=texts), sum(new != old for new, old in zip(texts, examples.texts))

    def tokenised(self, examples: Examples, tokens: int) -> TokenisedExamples:
        """Examples with room for `tokens` learned ids between head and tail, their texts truncated for it."""
        examples, cut = self.truncated(examples, tokens)
        heads, tails = [], []
        for text in examples.texts:
            head = self.template.head(text)
            heads.append(self._encode(head))
            tails.append(self._after(f"{head} {STAND_IN}".strip(), self.template.fill(text, STAND_IN)))
        return TokenisedExamples(tuple(heads), tuple(tails), examples.labels, cut)

    def filled(self, examples: Examples, prompt: str) -> TokenisedExamples:
        """Examples with a prompt in plain text, tokenised as one text each; the prompt is in the tails."""
        heads, tails = [], []
        for text in examples.texts:
            whole, head = self._encode(self.template.fill(text, prompt)), self._encode(self.template.head(text))
            shared = min(_shared(whole, head), len(whole) - 1)
            heads.append(whole[:shared])
            tails.append(whole[shared:])
        return TokenisedExamples(tuple(heads), tuple(tails), examples.labels)

    def prompt_ids(self, prompt: str) -> Ids:
        """A prompt in plain text as the model reads it in the template."""
        head = self.template.head("a")
        return self._after(head, f"{head} {prompt}".strip())

    def scores(
        self, embedded: Tensor, examples: TokenisedExamples, prompts: Tensor | None = None, fluency_texts: int = 0
    ) -> Scores:
        """Prompts (B, M, D), whose ids `prompts` (B, M) are, before all examples (N).

        The surprise of the ids is taken behind the first `fluency_texts` examples, from the same reading.
        """
        prefixes = self.model.prefixes(examples.heads)
        past = gather(prefixes, self.model.device).repeated(len(embedded))
        states = {
            words: self._states(embedded, tuple((*tail, *words) for tail in examples.tails), past)
            for words in dict.fromkeys(ids[:-1] for _, ids in self.label_ids)
        }
        ends = torch.tensor([embedded.shape[1] + len(tail) - 1 for tail in examples.tails], device=self.model.device)
        classes = self._class_scores(states, ends)
        if prompts is None or not fluency_texts:
            return Scores(classes, None)
        seen = next(iter(states.values()))[:, :fluency_texts]
        last = [prefix.last_state for prefix in prefixes[:fluency_texts]]
        return Scores(classes, self._surprise(seen, last, embedded, prompts))

    def _states(self, embedded: Tensor, tails: Sequence[Ids], past: Past) -> Tensor:
        """States (B, N, M + T, D) of prompts and tails, padded to the longest of them."""
        count, longest = len(tails), max(map(len, tails))
        padded = torch.tensor([[*tail, *[0] * (longest - len(tail))] for tail in tails], device=self.model.device)
        after = self.model.embed(padded.reshape(count, longest).long())
        before = embedded[:, None].expand(-1, count, -1, -1).to(after.dtype)
        together = torch.cat([before, after.expand(len(embedded), -1, -1, -1)], 2)
        states = self.model.states(together.flatten(0, 1), past)
        return states.reshape(len(embedded), count, *states.shape[1:])

    def _class_scores(self, states: dict[Ids, Tensor], ends: Tensor) -> Tensor:
        """Words of one token need their own rows of the head alone; later tokens are weighed against the whole."""
        firsts = list(dict.fromkeys(ids[0] for _, ids in self.label_ids))
        first_ids = torch.tensor(firsts, device=self.model.device)
        first_logits = self.model.logits(_at(next(iter(states.values())), ends), first_ids)
        by_class: list[list[Tensor]] = [[] for _ in self.verbalizer.classes]
        for label, ids in self.label_ids:
            score = first_logits[..., firsts.index(ids[0])]
            for place, token in enumerate(ids[1:], 1):
                logits = self.model.logits(_at(states[ids[:-1]], ends + place))
                score = score + logits[..., token] - logits.logsumexp(-1)
            by_class[label].append(score)
        return torch.stack([torch.stack(scores).logsumexp(0) for scores in by_class], -1)

    def _surprise(
        self, states: Tensor, last: Sequence[Tensor | None], embedded: Tensor, prompts: Tensor
    ) -> Tensor | None:
        """Mean −log p (B,) of prompt ids (B, M) given all before; the first counts where anything stands before it."""
        length, texts = prompts.shape[1], states.shape[1]
        before = [states[:, :, : length - 1]]
        if all(state is not None for state in last):
            read = torch.stack([state for state in last if state is not None])
            before.insert(0, read[None, :, None].expand(len(states), -1, 1, -1))
        known = torch.cat(before, 2)
        asked = known.shape[2]
        if not asked:
            return None
        ids = prompts[:, None, length - asked :].expand(-1, texts, -1)
        vectors = embedded[:, None, length - asked :].expand(-1, texts, -1, -1)
        return self.model.surprise(known, vectors, ids).mean((1, 2))

    def _room(self, tokens: int) -> int:
        """How many ids a text may have beside a prompt of `tokens`."""
        words = max(len(ids) for _, ids in self.label_ids)
        room = self.model.context_length - len(self._encode(self.template.fill("", ""))) - tokens - words - SPARE
        if room < 1:
            raise PezError(f"prompt length {tokens} and template leave no room for a text; shorten them.")
        return room

    def _within(self, text: str, room: int) -> str:
        ids = self.model.vocabulary.encode(text)
        return text if len(ids) <= room else self.model.vocabulary.decode(ids[:room])

    def _encode(self, text: str) -> Ids:
        return (*self.model.start, *self.model.vocabulary.encode(text))

    def _after(self, part: str, whole: str) -> Ids:
        """The ids by which a text is longer than its beginning."""
        first, all_ids = self._encode(part), self._encode(whole)
        if all_ids[: len(first)] == first:
            return all_ids[len(first) :]
        return tuple(self.model.vocabulary.encode(whole[len(part) :]))


def _at(states: Tensor, positions: Tensor) -> Tensor:
    """States (B, N, D) of (B, N, L, D), at one position (N,) of each row."""
    return states[:, torch.arange(states.shape[1], device=states.device), positions]


def _shared(whole: Ids, head: Ids) -> int:
    """How many ids two texts begin with alike."""
    return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(whole, head))))
