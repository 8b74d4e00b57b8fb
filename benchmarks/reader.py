"""What a text is to a reader: how fluent it is, and how near in meaning to another text, by models of language."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer


class Fluency:
    """Perplexity by a causal language model, a folder or a GGUF file."""

    def __init__(self, path: Path) -> None:
        folder, gguf = (path, {}) if path.is_dir() else (path.parent, {"gguf_file": path.name})
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, **gguf)
        self._model = AutoModelForCausalLM.from_pretrained(folder, **gguf).eval()

    @torch.no_grad()
    def perplexity(self, text: str) -> float:
        """e to the mean surprise at a token of the text, from the model's own start."""
        start = self._tokenizer.bos_token_id or self._tokenizer.eos_token_id
        ids = torch.tensor([[start, *self._tokenizer.encode(text, add_special_tokens=False)]])
        logits = self._model(ids).logits[0, :-1].float()
        return float(F.cross_entropy(logits, ids[0, 1:]).exp())


class Meaning:
    """Similarity of two texts by a sentence encoder: a folder of a BERT whose token states are averaged."""

    def __init__(self, path: Path) -> None:
        self._tokenizer: Any = AutoTokenizer.from_pretrained(path)
        self._model = AutoModel.from_pretrained(path).eval()

    def similarity(self, text: str, other: str) -> float:
        """The cosine of the two texts' embeddings."""
        first, second = self._embed([text, other])
        return (first @ second).item()

    @torch.no_grad()
    def _embed(self, texts: list[str]) -> Tensor:
        read = self._tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        mask = read["attention_mask"][..., None]
        states = self._model(**read).last_hidden_state * mask
        return F.normalize(states.sum(1) / mask.sum(1), dim=-1)
