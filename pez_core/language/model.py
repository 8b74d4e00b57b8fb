"""A frozen causal language model, differentiable in its input embeddings."""

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import PezError
from .prefix_cache import CachedPrefix, Ids, Past, PrefixCache
from .vocabulary import LanguageVocabulary

PROBE = (1, 2, 3, 4)


class LanguageModel:
    """A causal language model of transformers with its tokenizer, over embeddings instead of ids.

    States come without the vocabulary's logits: `logits` gives them for the ids and positions that are asked for.
    No weight is copied and none gets a gradient. `prefixes` remembers the texts that were read;
    `transformers_model` is the model itself.

    Raises PezError for a model that reads in both directions, and one whose logits are not its head's.
    """

    def __init__(self, model: Any, tokenizer: Any, name: str) -> None:
        self.name = name
        self.transformers_model = model.requires_grad_(False).eval()
        self._body = model.model if model.base_model is model else model.base_model  # Gemma 3 in transformers 4
        self._head = model.get_output_embeddings()
        self._input = model.get_input_embeddings()
        self._softcap = getattr(model.config, "final_logit_softcapping", None)
        self._tokenizer = tokenizer
        self.vocabulary = LanguageVocabulary(tokenizer, len(self.embeddings))
        self.context_length: int = getattr(model.config, "max_position_embeddings", None) or 2**20
        self._check()
        self.prefixes = PrefixCache(self._read)

    @property
    def device(self) -> torch.device:
        return self.embeddings.device

    @property
    def embeddings(self) -> Tensor:
        """The token embedding table (V, D), the model's own memory."""
        table: Tensor = self._input.weight
        return table

    @property
    def start(self) -> Ids:
        """Ids that the tokenizer puts before a text."""
        return tuple(self._tokenizer("a").input_ids[: -len(self.vocabulary.encode("a"))])

    @property
    def bounds(self) -> tuple[Ids, Ids]:
        """Ids before and after a whole text: what the tokenizer puts before one, or a token that begins one, or the end
        of the text before; and the end, if the tokenizer has one.

        Raises PezError for a model that has none of them.
        """
        config, tokenizer = self.transformers_model.config, self._tokenizer
        ends = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
        begins = [tokenizer.bos_token_id, getattr(config, "bos_token_id", None), *ends]
        start = self.start or tuple(token for token in begins if token is not None)[:1]
        if not start:
            raise PezError(f"model {self.name!r} has no token that begins or ends a text; choose another one.")
        return start, tuple(ends)

    def fingerprint(self) -> str:
        """A hash of all weights with their names: other weights, another fingerprint."""
        seen = hashlib.sha256()
        for name, weight in self.transformers_model.named_parameters():
            seen.update(f"{name} {weight.dtype} {tuple(weight.shape)} ".encode())
            seen.update(weight.detach().cpu().reshape(-1).view(torch.uint8).numpy())
        return seen.hexdigest()

    def embed(self, ids: Tensor) -> Tensor:
        """Embeddings (…, D) of ids (…) as they enter the model."""
        embedded: Tensor = self._input(ids)
        return embedded

    def states(self, embedded: Tensor, past: Past) -> Tensor:
        """Last states (N, L, D) of embedded tokens (N, L, D) that follow texts read before."""
        return self._forward(embedded, past, keep=False)[0]

    def logits(self, states: Tensor, ids: Tensor | None = None) -> Tensor:
        """Logits (…, I) of the ids (I,) after states (…, D); of the whole vocabulary without `ids`; fp32."""
        weight, bias = self._head.weight, self._head.bias
        if ids is not None:
            weight, bias = weight[ids], None if bias is None else bias[ids]
        raw = torch.nn.functional.linear(states, weight, bias).float()
        return raw if self._softcap is None else torch.tanh(raw / self._softcap) * self._softcap

    def surprise(self, states: Tensor, embedded: Tensor, ids: Tensor) -> Tensor:
        """−log p (…,) of the ids (…,) that follow states (…, D).

        Where input and output share their embeddings, the gradient reaches `embedded` (…, D), those of the ids, too:
        it tells which other token would have been expected.
        """
        logits = self.logits(states)
        expected = logits.gather(-1, ids[..., None])[..., 0]
        if self._head.weight is self._input.weight:
            scale = self.embed(ids[..., :1]).norm() / self.embeddings[ids[..., :1]].norm()
            through = (states * embedded / scale).sum(-1)
            expected = expected + (through - through.detach())
        return logits.logsumexp(-1) - expected

    @torch.no_grad()
    def _read(self, texts: Sequence[Ids]) -> list[CachedPrefix]:
        if not texts[0]:
            return [CachedPrefix((), None), *(self._read(texts[1:]) if len(texts) > 1 else [])]
        longest = max(map(len, texts))
        padded = torch.tensor([[*text, *[text[-1]] * (longest - len(text))] for text in texts], device=self.device)
        nothing = Past((), torch.zeros(len(texts), dtype=torch.long, device=self.device))
        states, cache = self._forward(self.embed(padded), nothing, keep=True)
        return [
            CachedPrefix(
                tuple(
                    (layer.keys[row, :, : len(text)].clone(), layer.values[row, :, : len(text)].clone())
                    for layer in cache.layers
                ),
                states[row, len(text) - 1].clone(),
            )
            for row, text in enumerate(texts)
        ]

    def _forward(self, embedded: Tensor, past: Past, keep: bool) -> tuple[Tensor, Any]:
        from transformers import DynamicCache

        length = embedded.shape[1]
        padded = past.layers[0][0].shape[2] if past.layers else 0
        columns = torch.arange(padded + length, device=self.device)
        seen = (columns >= padded - past.lengths[:, None]).long()
        positions = past.lengths[:, None] + columns[:length]
        cache = DynamicCache(past.layers) if past.layers or keep else None
        out = self._body(
            inputs_embeds=embedded,
            attention_mask=seen,
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
        )
        return out.last_hidden_state, cache

    @torch.no_grad()
    def _check(self) -> None:
        ids = torch.tensor([PROBE], device=self.device)
        nothing = Past((), torch.zeros(1, dtype=torch.long, device=self.device))
        states = self.states(self.embed(ids), nothing)
        noise = torch.finfo(self.embeddings.dtype).eps ** 0.5
        if not torch.allclose(states[:, :2], self.states(self.embed(ids[:, :2]), nothing), noise, noise):
            raise PezError(f"model {self.name!r} reads in both directions; choose a causal one, such as GPT-2.")
        if not torch.allclose(self.transformers_model(ids).logits.float(), self.logits(states), noise, noise):
            raise PezError(f"model {self.name!r} changes its logits in an unsupported way; choose another one.")
