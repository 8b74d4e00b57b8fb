"""A prior by a causal language model: its numbers are those of transformers' own loss, and each text is read once."""

from contextlib import contextmanager

import pytest
import torch
from transformers import (
    AutoTokenizer,
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from pez_core import PezError, SearchSettings, embedded_prior, invert
from pez_core.guided import decode, openings
from pez_core.language import LanguageModel, TextReader, load_language_model
from pez_core.priors import CausalPrior, causal

SMALL = {
    "vocab_size": 700,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 48,
    "pad_token_id": 0,
}
MODELS = {
    "Gemma": lambda: Gemma2ForCausalLM(Gemma2Config(**SMALL, final_logit_softcapping=0.5, sliding_window=4)),
    "Qwen": lambda: Qwen3ForCausalLM(Qwen3Config(**SMALL, bos_token_id=None, tie_word_embeddings=True)),
    "Llama": lambda: LlamaForCausalLM(LlamaConfig(**SMALL, tie_word_embeddings=False)),
}
FIRST = {"Gemma": 2, "Qwen": 0, "Llama": 1, "GPT-2": 0}
END = 0
TEXTS = ["the movie is dull", "overall verdict", "green paper window", "the song is warm and clever .", "maybe", ""]


class Counting:
    """A model that notes what it is asked to encode, and how many texts it reads together."""

    def __init__(self, model):
        self._model, self.encoded, self.together, self.readied, self.is_ready = model, [], [], 0, False

    def __getattr__(self, name):
        return getattr(self._model, name)

    @contextmanager
    def ready(self):
        self.readied, self.is_ready = self.readied + 1, True
        yield
        self.is_ready = False

    def encode(self, text):
        self.encoded.append(text)
        return self._model.encode(text)

    def states(self, ids):
        assert self.is_ready
        self.together.append(len(ids))
        return self._model.states(ids)


class Few:
    """The first phrases of the embedded prior."""

    def phrases(self, count):
        return embedded_prior().phrases(min(count, 40))


@pytest.fixture(scope="module")
def tokenizer(model_folder):
    return AutoTokenizer.from_pretrained(model_folder)


@pytest.fixture(params=FIRST)
def model(request, tokenizer, model_folder):
    if request.param == "GPT-2":
        return load_language_model(model_folder)
    torch.manual_seed(0)
    made = MODELS[request.param]()
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(torch.randn(weight.shape) * 0.05)
    return LanguageModel(made, tokenizer, request.param)


@pytest.fixture
def reader(model_folder):
    return TextReader(load_language_model(model_folder))


def ids_of(encoder):
    return [tuple(encoder.vocabulary.encode(text)) for text in TEXTS]


def test_it_is_the_loss_of_transformers_on_each_text_alone_by_the_ids_of_the_encoder(encoder, tokenizer, model):
    prompts = ids_of(encoder)
    found = CausalPrior(TextReader(model), encoder.vocabulary).surprise(prompts)
    first = FIRST.get(model.name, 0)
    for text, prompt, each in zip(TEXTS, prompts, found.tolist()):
        ids = torch.tensor([[first, *tokenizer(text).input_ids, END]])
        loss = model.transformers_model(input_ids=ids, labels=ids).loss.item()
        assert each == pytest.approx(loss * (ids.shape[1] - 1) / (len(prompt) + 1), rel=1e-4)


@pytest.mark.parametrize(("tokens", "logits"), [(20, 2**25), (4096, 700), (1, 1)])
def test_texts_read_together_or_in_parts_surprise_it_as_much(encoder, reader, monkeypatch, tokens, logits):
    prompts = ids_of(encoder)
    alone = [CausalPrior(reader, encoder.vocabulary).surprise([prompt]).item() for prompt in prompts]
    monkeypatch.setattr(causal, "TOKENS", tokens)
    monkeypatch.setattr(causal, "LOGITS", logits)
    counting = Counting(reader)
    assert CausalPrior(counting, encoder.vocabulary).surprise(prompts).tolist() == pytest.approx(alone, rel=1e-4)
    assert sum(counting.together) == len(TEXTS)
    assert (len(counting.together) > 1) == (tokens < 4096)


def test_logits_are_never_more_than_are_to_be_held(encoder, reader, monkeypatch):
    monkeypatch.setattr(causal, "LOGITS", reader.size * 3 + 5)
    seen, logits = [], reader.logits
    reader.logits = lambda states: seen.append(len(states)) or logits(states)
    CausalPrior(reader, encoder.vocabulary).surprise(ids_of(encoder))
    assert max(seen) == 3


def test_each_text_is_read_once(encoder, reader):
    counting = Counting(reader)
    prior = CausalPrior(counting, encoder.vocabulary)
    prompts = ids_of(encoder)
    first = prior.surprise([*prompts, prompts[0]])
    assert sorted(counting.encoded) == sorted(TEXTS)
    assert first[0] == first[-1]
    again = prior.surprise(prompts[:2])
    assert again.tolist() == first[:2].tolist()
    assert (len(counting.encoded), counting.readied, counting.is_ready) == (len(TEXTS), 1, False)


def test_texts_are_forgotten_when_there_are_too_many(encoder, reader, monkeypatch):
    monkeypatch.setattr(causal, "KEPT", 3)
    counting = Counting(reader)
    prior, prompts = CausalPrior(counting, encoder.vocabulary), ids_of(encoder)
    first = prior.surprise(prompts)
    assert torch.equal(prior.surprise(prompts), first)
    assert len(counting.encoded) == 2 * len(TEXTS)


def test_where_the_memory_is_short_fewer_texts_are_read_together(encoder, reader):
    expected = CausalPrior(reader, encoder.vocabulary).surprise(ids_of(encoder))
    counting = Counting(reader)
    states = reader.states

    def short(ids):
        if len(ids) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return states(ids)

    reader.states = short
    found = CausalPrior(counting, encoder.vocabulary).surprise(ids_of(encoder))
    assert found.tolist() == pytest.approx(expected.tolist(), rel=1e-4)
    assert counting.together[0] == len(TEXTS) and counting.together[-1] <= 2


def test_texts_of_like_length_are_read_together_and_never_too_many_tokens(encoder, reader, monkeypatch):
    monkeypatch.setattr(causal, "TOKENS", 24)
    shapes, states = [], reader.states
    reader.states = lambda ids: shapes.append(tuple(ids.shape)) or states(ids)
    reader.encode = lambda text: [5] * len(text)
    words = ["cat", "a", "old key", "an", "the", "red", "i"]
    CausalPrior(reader, encoder.vocabulary).surprise([encoder.vocabulary.encode(word) for word in words])
    assert shapes == [(4, 4), (2, 4), (1, 8)]  # start, "cat" and end are five ids, of which the last is not read


def test_the_model_reads_without_gradients(encoder, reader):
    seen, states = [], reader.states
    reader.states = lambda ids: seen.append(torch.is_grad_enabled()) or states(ids)
    with torch.enable_grad():
        CausalPrior(reader, encoder.vocabulary).surprise(ids_of(encoder))
    assert seen == [False]


def test_a_text_beyond_the_context_is_told_of(encoder, reader):
    prior = CausalPrior(reader, encoder.vocabulary)
    reader.encode = lambda text: [5] * len(text.split())
    fits = "the " * 63
    assert prior.surprise([encoder.vocabulary.encode(fits)]).isfinite()
    with pytest.raises(PezError, match="language model reads 64 tokens at most, and a prompt takes 65; shorten the"):
        prior.surprise([encoder.vocabulary.encode(f"{fits} the")])


def test_a_model_that_gives_nan_is_told_of(encoder, reader):
    reader.logits = lambda states: torch.full((len(states), reader.size), torch.nan)
    with pytest.raises(PezError, match="language model gives NaN for text; check its file, or choose another one"):
        CausalPrior(reader, encoder.vocabulary).surprise([(320,)])


def test_phrases_are_those_of_the_other_prior_or_the_embedded_one(encoder, reader):
    assert CausalPrior(reader, encoder.vocabulary).phrases(50) == embedded_prior().phrases(50)
    assert CausalPrior(reader, encoder.vocabulary, Few()).phrases(50) == embedded_prior().phrases(40)


def test_a_search_is_guided_by_it_and_repeatable(encoder, contents, reader, monkeypatch):
    monkeypatch.setattr(openings, "WORDS", 16)
    monkeypatch.setattr(decode, "CONTEXTS", 4)
    settings = SearchSettings(language=1.0, tokens=4, seed=3)

    def found():
        prior = CausalPrior(reader, encoder.vocabulary, Few())
        return invert(encoder, contents.features[:1], settings, prior=prior)

    counting = Counting(reader)
    first = invert(encoder, contents.features[:1], settings, prior=CausalPrior(counting, encoder.vocabulary, Few()))
    assert first.text and len(first.tokens) <= 4
    assert first.text in counting.encoded
    assert found() == found() == first
