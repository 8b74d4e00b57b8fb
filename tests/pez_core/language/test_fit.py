"""Learning a prompt: every method finds the cue, and a broken run ends like an unbroken one."""

from dataclasses import replace

import pytest
import torch

from pez_core import PezError
from pez_core.language import ClassificationPrompt, Examples, FitSettings, evaluate, fit, table
from pez_core.language.methods import METHODS

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


def test_a_checkpoint_of_another_run_is_refused(task, data, tmp_path):
    fit(task, *data, replace(SETTINGS, steps=5), tmp_path)
    with pytest.raises(PezError, match="is of a run with other settings; choose another folder"):
        fit(task, *data, replace(SETTINGS, steps=6), tmp_path)


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
        ({"fluency": 1.0}, "fluency is 1.0; choose a weight from 0 to below 1"),
        ({"time_budget": 0.0}, "time budget is 0.0 seconds"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(changes, message):
    with pytest.raises(PezError, match=message):
        FitSettings(**changes)
