"""Learning a prompt: every method finds the cue, and a broken run ends like an unbroken one."""

import copy
import json
import math
from dataclasses import replace

import pytest
import torch

from pez_core import PezError
from pez_core.language import (
    ClassificationPrompt,
    Examples,
    FitSettings,
    Task,
    Template,
    Verbalizer,
    evaluate,
    fit,
    table,
)
from pez_core.language.methods import METHODS
from pez_core.vocabulary import blocked_phrases

TEXT_METHODS = [name for name in METHODS if name != "soft"]

SETTINGS = FitSettings(tokens=2, steps=40, validate_every=5, batch=16, learning_rate=2.0)


@pytest.fixture
def data(examples):
    return examples(64, 1), examples(40, 2)


@pytest.mark.parametrize("method", ["pez", "pez+refine", "autoprompt", "fluentprompt"])
def test_every_method_beats_the_bare_template_by_its_text(task, data, examples, method):
    held_out = examples(60, 9)
    found = fit(task, *data, replace(SETTINGS, method=method))
    bare = evaluate(task, "", held_out)
    scored = evaluate(task, found.text, held_out)
    assert scored.accuracy > bare.accuracy + 0.2
    assert evaluate(task, found.text, data[1]).accuracy == pytest.approx(found.accuracy)


def test_a_soft_prompt_is_learned_without_text(task, data):
    found = fit(task, *data, replace(SETTINGS, method="soft", steps=60, learning_rate=0.5))
    assert found.text == "" and found.soft.shape == (2, 64)
    assert evaluate(task, found.soft, data[1]).accuracy == pytest.approx(found.accuracy)
    losses = evaluate(task, found.soft, data[0]).loss, evaluate(task, "", data[0]).loss
    assert losses[0] < losses[1]


def test_the_bare_template_is_a_method_too(task, data):
    found = fit(task, *data, replace(SETTINGS, method="template"))
    assert (found.text, found.steps) == ("", 0)
    assert found.accuracy == pytest.approx(evaluate(task, "", data[1]).accuracy)


def test_texts_are_ranked_by_validation_best_first(task, data):
    found = fit(task, *data, replace(SETTINGS, keep=3))
    order = [(-ranked.accuracy, ranked.loss) for ranked in found.ranked]
    assert order == sorted(order) and 1 <= len(order) <= 3
    assert (found.text, found.accuracy) == (found.ranked[0].text, found.ranked[0].accuracy)
    assert all(ranked.text in table(found) for ranked in found.ranked)


def test_fluency_makes_the_prompt_expected(task, data):
    plain, fluent = (fit(task, *data, replace(SETTINGS, fluency=weight, steps=60)) for weight in (0.0, 0.9))
    perplexity = [evaluate(task, found.text, data[1]).perplexity for found in (plain, fluent)]
    assert perplexity[1] < perplexity[0]


@pytest.mark.parametrize("method", METHODS)
def test_a_broken_run_ends_like_an_unbroken_one(task, data, tmp_path, method):
    settings = replace(SETTINGS, method=method, candidates=2, fluency=0.1, steps=24)
    whole = fit(task, *data, settings, tmp_path / "whole")
    fit(task, *data, settings, tmp_path / "broken", lambda progress: progress.step == 17)
    resumed = fit(task, *data, settings, tmp_path / "broken")
    assert resumed.ranked == whole.ranked and resumed.history == whole.history
    if whole.soft is not None:
        assert torch.equal(resumed.soft, whole.soft)


def test_a_run_is_repeatable_and_depends_on_its_seed(task, data):
    one, same, other = (fit(task, *data, replace(SETTINGS, seed=seed)) for seed in (1, 1, 2))
    assert one.ranked == same.ranked != other.ranked


def flipped(examples):
    return replace(examples, labels=tuple(1 - label for label in examples.labels))


def renamed(model):
    other = copy.copy(model)
    other.name = "another"
    return other


def nudged(model):
    """The model, under its own name, with one weight that is not what it was."""
    other = copy.copy(model)
    other.transformers_model = copy.deepcopy(model.transformers_model)
    next(other.transformers_model.parameters()).data[3, 5] += 1e-3
    return other


OTHER_RUNS = {
    "training labels": lambda task, train, validation: (task, flipped(train), validation),
    "training texts": lambda task, train, validation: (task, replace(train, texts=train.texts[::-1]), validation),
    "validation labels": lambda task, train, validation: (task, train, flipped(validation)),
    "validation texts": lambda task, train, validation: (
        task, train, replace(validation, texts=("the plot is dull .", *validation.texts[1:]))
    ),
    "validation texts and validation labels": lambda task, train, validation: (task, train, validation.take(range(9))),
    "template": lambda task, *data: (Task(task.model, Template("{text} {prompt} so {label}"), task.verbalizer), *data),
    "verbalizer": lambda task, *data: (
        Task(task.model, task.template, Verbalizer({"bad": ("great",), "good": ("terrible",)})), *data
    ),
    "model name": lambda task, *data: (Task(renamed(task.model), task.template, task.verbalizer), *data),
    "model weights": lambda task, *data: (Task(nudged(task.model), task.template, task.verbalizer), *data),
}  # fmt: skip


@pytest.mark.parametrize("other", OTHER_RUNS)
def test_a_checkpoint_of_another_run_is_refused_with_what_differs(task, data, tmp_path, other):
    settings = replace(SETTINGS, steps=1)
    fit(task, *data, settings, tmp_path)
    message = f"checkpoint in {str(tmp_path)!r} is of a run with other {other}; choose another folder."
    with pytest.raises(PezError) as error:
        fit(*OTHER_RUNS[other](task, *data), settings, tmp_path)
    assert str(error.value) == message


def test_a_checkpoint_of_other_settings_is_refused_with_their_names(task, data, tmp_path):
    fit(task, *data, replace(SETTINGS, steps=1), tmp_path)
    with pytest.raises(PezError, match="is of a run with other batch, learning rate and blocklist; choose another"):
        fit(task, *data, replace(SETTINGS, steps=1, learning_rate=1.0, blocklist=("so",), batch=4), tmp_path)


def test_a_checkpoint_of_the_same_run_is_found_whatever_its_settings(task, data, tmp_path):
    settings = replace(SETTINGS, steps=2, blocklist=("so", "green"), time_budget=1000.0, seed=2**64 - 1)
    assert fit(task, *data, settings, tmp_path).ranked == fit(task, *data, settings, tmp_path).ranked


def test_a_checkpoint_of_an_older_version_is_refused(task, data, tmp_path):
    fit(task, *data, replace(SETTINGS, steps=1), tmp_path)
    path = tmp_path / "checkpoint.json"
    fields = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**fields, "run": [{"steps": 1}, "tiny-gpt2", "{text} {label}", "0=a,1=b"]}))
    with pytest.raises(PezError, match="was written by an older version; delete the folder to start again"):
        fit(task, *data, replace(SETTINGS, steps=1), tmp_path)


def test_without_a_folder_no_weight_is_hashed(task, data, monkeypatch):
    monkeypatch.setattr(type(task.model), "fingerprint", lambda model: pytest.fail("the weights were hashed"))
    fit(task, *data, replace(SETTINGS, steps=1))


def test_a_run_whose_time_is_spent_ends_where_it_was(task, data, tmp_path):
    settings = replace(SETTINGS, steps=10**6, time_budget=0.2)
    first = fit(task, *data, settings, tmp_path)
    again = fit(task, *data, settings, tmp_path)
    assert (again.steps, again.ranked, again.history) == (first.steps, first.ranked, first.history)


@pytest.mark.parametrize("content", ["{", "{}", '{"tensors": "none.safetensors"}'])
def test_a_broken_checkpoint_is_refused(task, data, tmp_path, content):
    (tmp_path / "checkpoint.json").write_text(content)
    with pytest.raises(PezError, match="cannot be read; delete the folder to start again"):
        fit(task, *data, SETTINGS, tmp_path)


def test_the_time_budget_ends_it(task, data):
    found = fit(task, *data, replace(SETTINGS, steps=10**6, time_budget=1.0))
    assert 0 < found.steps < 10**6 and found.text


def test_blocked_words_are_never_used(task, data):
    found = fit(task, *data, replace(SETTINGS, blocklist=("verdict",)))
    assert not any("verdict" in ranked.text.split() for ranked in found.ranked)


@pytest.mark.parametrize("method", TEXT_METHODS)
def test_a_blocked_phrase_is_in_no_text_whatever_the_method(task, data, method):
    settings = replace(SETTINGS, method=method, steps=20)
    phrase = fit(task, *data, settings).text
    assert len(phrase.split()) == 2
    found = fit(task, *data, replace(settings, blocklist=(phrase.upper(),)))
    assert found.ranked and not any(blocked_phrases([phrase]).search(ranked.text) for ranked in found.ranked)


def all_words_but(vocabulary, *kept):
    return tuple(vocabulary.texts[token] for token in vocabulary.words if vocabulary.texts[token] not in kept)


@pytest.mark.parametrize("method", TEXT_METHODS)
def test_when_every_text_is_blocked_the_blocklist_is_named(task, data, method):
    pairs = ("maybe maybe", "maybe green", "green maybe", "green green")
    blocklist = (*all_words_but(task.model.vocabulary, "maybe", "green"), *pairs)
    allowed = fit(task, *data, replace(SETTINGS, method=method, steps=6, blocklist=blocklist[: -len(pairs)]))
    assert allowed.text in pairs
    with pytest.raises(PezError, match="blocklist is in every text that was found; take phrases out of it, or take"):
        fit(task, *data, replace(SETTINGS, method=method, steps=6, blocklist=blocklist))


def test_the_result_survives_json(task, data):
    found = fit(task, *data, replace(SETTINGS, steps=5, blocklist=("green",)))
    assert ClassificationPrompt.from_json(found.to_json()) == found


def test_examples_are_needed(task, data):
    with pytest.raises(PezError, match="examples are missing"):
        fit(task, Examples((), ()), data[1], SETTINGS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "magic"}, "method 'magic' is unknown; choose one of pez"),
        ({"tokens": 0}, "tokens is 0; choose 1 or more"),
        ({"steps": -1}, "steps is -1; choose 1 or more"),
        *(({name: 0}, f"^{name} is 0; choose 1 or more") for name in ("steps", "candidates", "batch", "pool")),
        *(({name: 0}, f"^{name} is 0; choose 1 or more") for name in ("validate_every", "keep", "swaps")),
        ({"fluency": 1.0}, "fluency is 1.0; choose a weight from 0 to below 1"),
        ({"fluency": -0.1}, "fluency is -0.1; choose a weight"),
        ({"fluency": math.nan}, "fluency is nan; choose a weight"),
        *(({"learning_rate": rate}, "learning rate is") for rate in (-1.0, 0.0, math.nan, math.inf)),
        *(({"weight_decay": decay}, "weight decay is") for decay in (-1.0, math.nan, math.inf)),
        *(({"time_budget": seconds}, "time budget is") for seconds in (0.0, -1.0, math.nan, math.inf)),
        *(({"seed": seed}, f"seed is {seed}; choose 0 to 18446744073709551615") for seed in (-1, 2**64)),
    ],
)
def test_settings_that_cannot_be_used_are_refused(changes, message):
    with pytest.raises(PezError, match=message):
        FitSettings(**changes)


def test_settings_at_the_ends_of_their_ranges_can_be_used(task, data):
    least = {"tokens": 1, "candidates": 1, "batch": 1, "pool": 1, "validate_every": 1, "keep": 1, "swaps": 1}
    for changes in ({**least, "seed": 0, "weight_decay": 0.0}, {"seed": 2**64 - 1, "fluency": 0.99, "steps": 1}):
        assert fit(task, *data, replace(SETTINGS, **{"steps": 1, **changes})).text


@pytest.mark.parametrize("tokens", [60, 10**9])
def test_more_tokens_than_the_model_reads_get_one_sentence(task, data, tokens):
    with pytest.raises(PezError, match=f"prompt length {tokens} and template leave no room for a text; shorten them"):
        fit(task, *data, replace(SETTINGS, tokens=tokens))
