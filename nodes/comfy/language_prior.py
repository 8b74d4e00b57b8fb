"""A prior by the language model that ComfyUI has loaded as a text encoder, or by one from Load Language Model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import comfy.model_management
import torch
import torch.nn.functional as F
from torch import Tensor

from ...pez_core import Encoder, PezError, Prior, SearchSettings
from ...pez_core.language import LanguageModel, TextReader
from ...pez_core.priors import CausalPrior, Mixture, embedded_prior
from ...pez_core.priors.causal import LOGITS
from ...pez_core.vocabulary import Vocabulary
from .held_weights import cast_weights, compute_type
from .managed_models import ManagedLanguageModel

# Classes of ComfyUI's without a head of their own: those whose embeddings are their head, and those whose head ComfyUI
# leaves in the file.
TIED = frozenset(
    {"Gemma2_2B", "Gemma3_12B", "Gemma3_4B", "Gemma3_4B_Vision", "Ministral3_3B", "Ovis25_2B", "Qwen25_3B"}
    | {"Qwen3_06B", "Qwen3_4B"}
)
UNTIED = frozenset({"Qwen25_7BVLI"})
SOFTCAPS = {"Gemma2_2B": 30.0}  # ComfyUI leaves out what the model was trained with
ENDS = ("<|endoftext|>", "<eos>", "</s>")
PROBE = "a photo of a cat on a table"
PLAUSIBLE = 0.9  # of the surprise at words that are guessed
NONE = (
    "clip has no language model that predicts words; connect a CLIP with Gemma, Qwen3 or Ministral, or Load Language "
    "Model."
)
GUESSES = (
    "clip predicts words no better than by chance, as when its file lacks lm_head; connect another one, or Load "
    "Language Model."
)


def language_prior(source: Any, vocabulary: Vocabulary, back: Callable[[], object] = lambda: None) -> Prior:
    """A prior by a CLIP that holds a language model, or by a LanguageModel, managed or not.

    Texts are those of `vocabulary`, the encoder's. `back` is called after each reading, which may have evicted other
    models: the encoder's `bring`.

    Raises PezError for a CLIP without a language model, or with one that predicts nothing.
    """
    if isinstance(source, LanguageModel):
        return CausalPrior(TextReader(source), vocabulary)
    if isinstance(source, ManagedLanguageModel):
        return CausalPrior(TextReader(source.model, lambda: _brought(source, back)), vocabulary)
    model = ComfyLanguageModel(source, back)
    prior = CausalPrior(model, vocabulary)
    ids = vocabulary.encode(PROBE)
    nats = prior.surprise([ids]).item() * (len(ids) + 1)
    guessed = math.log(model.size) * len([*model.encode(PROBE), *model.end])
    if nats > PLAUSIBLE * guessed:
        raise PezError(GUESSES)
    return prior


def prior_of(source: Any, encoder: Encoder, settings: SearchSettings) -> Prior | None:
    """What is connected, mixed with the embedded prior; None where nothing is, or where language does not count."""
    if source is None or not settings.language:
        return None
    return Mixture([embedded_prior(), language_prior(source, encoder.vocabulary, encoder.bring)])


class ComfyLanguageModel:
    """The language model in a ComfyUI CLIP, read as ComfyUI reads it: with its casts, its LoRAs and its memory.

    Raises PezError where there is none that predicts words.
    """

    def __init__(self, clip: Any, back: Callable[[], object]) -> None:
        self._clip, self._back = clip, back
        self._transformer, self._tokenizer = _causal(clip)
        self._device = clip.patcher.load_device
        config = self._transformer.model.config
        self.start, self.end = _bounds(self._tokenizer)
        self.size, self.context_length = config.vocab_size, config.max_position_embeddings
        self._width = config.hidden_size
        self._reads_ids = bool(getattr(config, "hidden_size_per_layer_input", 0))

    @contextmanager
    def ready(self) -> Iterator[None]:
        """With the model loaded, and room for a copy of its head beside the logits."""
        management = comfy.model_management
        room = self.size * self._width * compute_type(self._device).itemsize + 3 * LOGITS * torch.float32.itemsize
        management.load_models_gpu([self._clip.patcher], memory_required=room)
        with getattr(management, "cuda_device_context", nullcontext)(self._device):
            yield
        self._back()

    def encode(self, text: str) -> Sequence[int]:
        ids = self._tokenizer.tokenizer(text)["input_ids"][self._tokenizer.tokens_start :]
        return ids[:-1] if self._tokenizer.tokenizer_adds_end_token else ids

    def states(self, ids: Tensor) -> Tensor:
        """Raises ComfyUI's interruption on Cancel."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        ids = ids.to(self._device)
        embedded = self._transformer.get_input_embeddings()(ids, out_dtype=torch.float32)
        more = {"input_ids": ids} if self._reads_ids else {}
        states: Tensor = self._transformer(None, None, embeds=embedded, dtype=torch.float32, **more)[0]
        return states

    def logits(self, states: Tensor) -> Tensor:
        states, model = states.to(compute_type(self._device)), self._transformer.model
        if hasattr(model, "lm_head"):  # BaseGenerate.logits may take the embeddings all the same
            logits = model.lm_head(states)
        elif hasattr(self._transformer, "logits"):
            logits = self._transformer.logits(states[:, None])[:, 0]
        else:
            with cast_weights(model.embed_tokens, states.dtype, states.device) as (weight, _):
                logits = F.linear(states, weight)
        cap = SOFTCAPS.get(type(self._transformer).__name__)
        return logits.float() if cap is None else torch.tanh(logits.float() / cap) * cap


@contextmanager
def _brought(source: ManagedLanguageModel, back: Callable[[], object]) -> Iterator[None]:
    source.bring()
    yield
    back()


def _causal(clip: Any) -> tuple[Any, Any]:
    """The part of a CLIP that predicts words, and its tokenizer."""
    for name, part in clip.cond_stage_model.named_children():
        transformer, tokenizer = getattr(part, "transformer", None), getattr(clip.tokenizer, name, None)
        if tokenizer is not None and _predicts(transformer):
            return transformer, tokenizer
    raise PezError(NONE)


def _predicts(transformer: Any) -> bool:
    """Whether all is there that logits are made with: the last norm, and a head, or an embedding table that is one."""
    model, kind = getattr(transformer, "model", None), type(transformer).__name__
    if getattr(model, "embed_tokens", None) is None or getattr(model, "norm", None) is None:
        return False
    generates = hasattr(transformer, "generate") and kind not in UNTIED
    return generates or kind in TIED or (hasattr(transformer, "logits") and hasattr(model, "lm_head"))


def _bounds(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Ids before and after a whole text; where nothing begins one, the end of the text before."""
    known = tokenizer.tokenizer.get_vocab()
    end = tuple(known[piece] for piece in ENDS if piece in known)[:1]
    start = end if tokenizer.start_token is None else (tokenizer.start_token,)
    if not start:
        raise PezError(NONE)
    return start, end
