"""A language model over embeddings: states, logits and surprise are those of transformers' own forward."""

import copy

import pytest
import torch
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoTokenizer,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PhiConfig,
    PhiForCausalLM,
)

from pez_core import PezError
from pez_core.language import Classifier, Examples, LanguageModel, Template, TextReader
from pez_core.language.prefix_cache import Past

SMALL = {
    "vocab_size": 700,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 48,
    "pad_token_id": 0,
}
CONFIGS = {
    "capped logits, scaled embeddings": lambda: Gemma2ForCausalLM(
        Gemma2Config(**SMALL, head_dim=8, final_logit_softcapping=0.5, sliding_window=4)
    ),
    "a head of its own": lambda: LlamaForCausalLM(LlamaConfig(**SMALL, tie_word_embeddings=False)),
    "a head with a bias": lambda: PhiForCausalLM(PhiConfig(**SMALL)),
}
NOTHING = Past((), torch.zeros(1, dtype=torch.long))
IDS = torch.tensor([[5, 30, 9, 41, 26, 7]])


@pytest.fixture(scope="module")
def tokenizer(model_folder):
    return AutoTokenizer.from_pretrained(model_folder)


@pytest.fixture(params=CONFIGS)
def other(request, tokenizer):
    """A language model of another architecture, with random weights."""
    torch.manual_seed(0)
    made = CONFIGS[request.param]()
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(torch.randn(weight.shape) * 0.05)
    return LanguageModel(made, tokenizer, "other")


def test_states_and_logits_are_those_of_the_whole_forward(other):
    wanted = other.transformers_model(IDS).logits
    states = other.states(other.embed(IDS), NOTHING)
    assert torch.allclose(other.logits(states), wanted, atol=1e-5)
    some = torch.tensor([3, 600, 41])
    assert torch.allclose(other.logits(states, some), wanted[..., some], atol=1e-5)
    assert other.logits(states).dtype == torch.float32


def test_a_text_that_was_read_before_is_gone_on_from(other):
    wanted = other.states(other.embed(IDS), NOTHING)
    (prefix,) = other.prefixes([tuple(IDS[0, :4].tolist())])
    assert torch.allclose(prefix.last_state, wanted[0, 3], atol=1e-5)
    past = Past(tuple((keys[None], values[None]) for keys, values in prefix.layers), torch.tensor([4]))
    assert torch.allclose(other.states(other.embed(IDS[:, 4:]), past), wanted[:, 4:], atol=1e-5)


def test_texts_of_all_lengths_are_read_together_like_alone(model):
    texts = [(5, 6, 7, 8, 9), (), (30,), (40, 41, 42)]
    together = LanguageModel(model.transformers_model, model._tokenizer, "again").prefixes(texts)
    assert together[1].layers == () and together[1].last_state is None
    for text, prefix in zip(texts, together):
        if text:
            alone = model._read([text])[0]
            assert torch.allclose(prefix.last_state, alone.last_state, atol=1e-5)
            for mine, other in zip(prefix.layers, alone.layers):
                assert mine[0].shape[1] == mine[1].shape[1] == len(text)
                assert torch.allclose(mine[0], other[0], atol=1e-5) and torch.allclose(mine[1], other[1], atol=1e-5)


def test_surprise_is_what_the_logits_say_of_the_ids(other):
    states = other.states(other.embed(IDS), NOTHING)[:, :-1]
    logs = other.logits(states).log_softmax(-1)
    surprise = other.surprise(states, other.embed(IDS[:, 1:]), IDS[:, 1:])
    assert torch.allclose(surprise, -logs.gather(-1, IDS[:, 1:, None])[..., 0], atol=1e-5)


@pytest.mark.parametrize("scaled", [False, True])
def test_where_embeddings_are_shared_the_gradient_tells_which_token_was_expected(model, tokenizer, scaled):
    if scaled:
        torch.manual_seed(0)
        model = LanguageModel(Gemma3ForCausalLM(Gemma3TextConfig(**SMALL, head_dim=8)), tokenizer, "gemma")
    states = model.states(model.embed(IDS), NOTHING)[:, :-1].detach()
    embedded = model.embed(IDS[:, 1:]).detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(model.surprise(states, embedded, IDS[:, 1:]).sum(), embedded)
    assert torch.allclose(gradient, -states / (32**0.5 if scaled else 1), atol=1e-5)


def test_a_head_of_its_own_says_nothing_of_embeddings(tokenizer):
    torch.manual_seed(0)
    model = LanguageModel(CONFIGS["a head of its own"](), tokenizer, "llama")
    states = model.states(model.embed(IDS), NOTHING)[:, :-1].detach()
    embedded = model.embed(IDS[:, 1:]).detach().requires_grad_(True)
    assert not model.surprise(states, embedded, IDS[:, 1:]).requires_grad


def test_logits_that_are_not_the_heads_are_refused(tokenizer):
    scaled = GraniteForCausalLM(GraniteConfig(**SMALL, logits_scaling=8.0))
    with pytest.raises(PezError, match="model 'scaled' changes its logits in an unsupported way; choose another one"):
        LanguageModel(scaled, tokenizer, "scaled")


def test_ids_before_a_text_are_read_before_every_text(model, tokenizer, verbalizer):
    starting = copy.deepcopy(tokenizer)
    starting.backend_tokenizer.post_processor = TemplateProcessing(single="<|end|> $A", special_tokens=[("<|end|>", 0)])
    with_start = LanguageModel(model.transformers_model, starting, "starting")
    assert with_start.start == (0,) and model.start == ()
    assert with_start.vocabulary.encode("the movie") == model.vocabulary.encode("the movie")
    classifier, some = Classifier(with_start, Template(), verbalizer), Examples(("the movie is dull .",), (0,))
    assert classifier.tokenised(some, 2).heads[0] == (0, *model.vocabulary.encode("the movie is dull ."))
    (classes,) = classifier.scores(with_start.embeddings[:0][None], classifier.filled(some, "overall verdict")).classes
    whole = [0, *model.vocabulary.encode("the movie is dull . overall verdict It was")]
    logits = model.transformers_model(torch.tensor([whole])).logits[0, -1]
    assert torch.allclose(classes[0], logits[[ids[0] for _, ids in classifier.label_ids]], atol=1e-4)
    assert classifier.truncated(Examples(("the movie " * 60,), (0,)), 5)[1] == 1


@pytest.mark.parametrize(
    ("adds", "tokenizers", "configs", "ends", "bounds"),
    [
        (5, 6, 7, 8, ((5,), (8,))),
        (None, 6, 7, 8, ((6,), (8,))),
        (None, None, 7, 8, ((7,), (8,))),
        (None, None, None, 8, ((8,), (8,))),
        (None, None, 7, None, ((7,), ())),
    ],
)
def test_a_whole_text_begins_with_what_begins_one_and_ends_with_the_end(
    model, tokenizer, monkeypatch, adds, tokenizers, configs, ends, bounds
):
    other = LanguageModel(model.transformers_model, bounded(tokenizer, adds, tokenizers, ends), "other")
    monkeypatch.setattr(other.transformers_model.config, "bos_token_id", configs)
    assert other.bounds == bounds


def test_a_model_that_has_no_bounds_reads_no_whole_texts(model, tokenizer, monkeypatch):
    other = LanguageModel(model.transformers_model, bounded(tokenizer, None, None, None), "other")
    monkeypatch.setattr(other.transformers_model.config, "bos_token_id", None)
    with pytest.raises(PezError, match="model 'other' has no token that begins or ends a text; choose another one"):
        TextReader(other)


def bounded(tokenizer, adds, begins, ends):
    """The tokenizer, with other ids at the beginning and at the end; `adds` is what it puts before a text."""
    changed = copy.deepcopy(tokenizer)
    changed.bos_token, changed.eos_token = (
        None if each is None else tokenizer.convert_ids_to_tokens(each) for each in (begins, ends)
    )
    if adds is not None:
        piece = tokenizer.convert_ids_to_tokens(adds)
        changed.backend_tokenizer.post_processor = TemplateProcessing(
            single=f"{piece} $A", special_tokens=[(piece, adds)]
        )
    return changed


def test_the_context_is_the_configs(model, other):
    assert (model.context_length, other.context_length) == (64, 48)


def test_no_weight_wants_a_gradient(model):
    assert not any(weight.requires_grad for weight in model.transformers_model.parameters())
    assert not model.transformers_model.training


def test_the_fingerprint_is_that_of_names_numbers_and_types(model, tokenizer):
    def again(change=None, dtype=torch.float32):
        other = copy.deepcopy(model.transformers_model).to(dtype)
        if change:
            with torch.no_grad():
                change(other)
        return LanguageModel(other, tokenizer, "again").fingerprint()

    def last(other):
        list(other.parameters())[-1].view(-1)[-1].add_(1e-3)

    def swapped(other):
        first, second = other.transformer.h[0].ln_1, other.transformer.h[0].ln_2
        first.weight, second.weight = second.weight, first.weight

    assert again() == model.fingerprint()
    found = {model.fingerprint(), again(last), again(swapped), again(dtype=torch.bfloat16)}
    assert len(found) == 4 and all(len(each) == 64 for each in found)
