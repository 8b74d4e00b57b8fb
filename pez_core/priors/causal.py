"""A prior by a language model that reads from left to right."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import chain
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..device.out_of_memory import in_parts
from ..errors import PezError
from ..vocabulary import Vocabulary
from .embedded import embedded_prior
from .prior import Prior

Ids = tuple[int, ...]

TOKENS = 4096  # read together
LOGITS = 2**25  # held together
KEPT = 2**20  # texts that are not read again


class CausalModel(Protocol):
    """A language model with its tokenizer, as it is asked for whole texts.

    `start` (one id or more) and `end` (perhaps none) stand before and after each text, `size` is that of the
    vocabulary, and `context_length` is how many ids are read at most.
    """

    @property
    def start(self) -> Ids: ...

    @property
    def end(self) -> Ids: ...

    @property
    def size(self) -> int: ...

    @property
    def context_length(self) -> int: ...

    def ready(self) -> AbstractContextManager[object]:
        """A context in which the weights are where texts are read; entered once for each reading."""
        ...

    def encode(self, text: str) -> Sequence[int]:
        """Ids of a text, without start and end."""
        ...

    def states(self, ids: Tensor) -> Tensor:
        """Last states (N, L, D) of ids (N, L) on the CPU; those to the right of an id do not change its state."""
        ...

    def logits(self, states: Tensor) -> Tensor:
        """Logits (P, size) of the ids that follow after states (P, D); fp32."""
        ...


class CausalPrior:
    """How likely a causal language model finds texts, with the phrases of another prior, or of the embedded one.

    Texts are read as `vocabulary` writes them, by the model's own tokens, and the latest are not read again. A text's
    surprise is that at all of its tokens and at its end; the mean is taken over the ids of `vocabulary`, so that priors
    agree in their unit.

    Raises PezError for a text that is longer than the model's context, and for a model that gives NaN.
    """

    def __init__(self, model: CausalModel, vocabulary: Vocabulary, phrases: Prior | None = None) -> None:
        self._model, self._vocabulary = model, vocabulary
        self._known = phrases or embedded_prior()
        self._nats: dict[str, float] = {}

    def surprise(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Mean surprise (N,) at a token of each prompt and at its end, in nats."""
        if len(self._nats) > KEPT:
            self._nats = {}
        nats, texts = self._nats, [self._vocabulary.decode(prompt) for prompt in prompts]
        nats.update(self._read([text for text in dict.fromkeys(texts) if text not in nats]))
        return torch.tensor([nats[text] / (len(prompt) + 1) for text, prompt in zip(texts, prompts)])

    def phrases(self, count: int) -> Sequence[Ids]:
        """The `count` likeliest whole texts of the other prior, in its order."""
        return self._known.phrases(count)

    @torch.no_grad()
    def _read(self, texts: Sequence[str]) -> dict[str, float]:
        if not texts:
            return {}
        whole = {text: (*self._model.start, *self._model.encode(text), *self._model.end) for text in texts}
        ordered = sorted(whole, key=lambda text: len(whole[text]))
        longest, most = len(whole[ordered[-1]]) - 1, self._model.context_length
        if longest > most:
            raise PezError(
                f"language model reads {most} tokens at most, and a prompt takes {longest}; shorten the prompt length, "
                "or choose another model."
            )
        with self._model.ready():
            batches = _batches([whole[text] for text in ordered])
            totals = [self._totals([whole[text] for text in ordered[batch]]) for batch in batches]
        return dict(zip(ordered, chain.from_iterable(totals)))

    def _totals(self, rows: Sequence[Ids]) -> list[float]:
        totals = torch.cat(in_parts(self._surprises, rows, len(rows)))
        if totals.isnan().any():
            raise PezError("language model gives NaN for text; check its file, or choose another one.")
        return totals.tolist()

    def _surprises(self, rows: Sequence[Ids]) -> Tensor:
        """Surprise (N,) at all that follows the start in each row."""
        ids = pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
        after = torch.arange(1, ids.shape[1])
        lengths = torch.tensor([len(row) for row in rows])
        counted = (after >= len(self._model.start)) & (after < lengths[:, None])
        states = self._model.states(ids[:, :-1])
        states, following = states[counted.to(states.device)], ids[:, 1:][counted]
        together = max(1, LOGITS // self._model.size)
        parts = zip(torch.split(states, together), torch.split(following, together))
        each = torch.cat([self._surprise(*part) for part in parts] or [torch.zeros(0)])
        return torch.zeros(len(rows)).index_add(0, counted.nonzero()[:, 0], each)

    def _surprise(self, states: Tensor, following: Tensor) -> Tensor:
        logits = self._model.logits(states)
        expected = logits.gather(-1, following.to(logits.device)[:, None])[:, 0]
        return (logits.logsumexp(-1) - expected).cpu()


def _batches(rows: Sequence[Ids]) -> Iterator[slice]:
    """Rows of ascending length in groups of at most `TOKENS` tokens, padding included; longer rows alone."""
    first = 0
    for place, row in enumerate(rows):
        if place > first and (place + 1 - first) * len(row) > TOKENS:
            yield slice(first, place)
            first = place
    yield slice(first, len(rows))
