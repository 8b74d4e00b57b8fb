"""Learning a prompt: every method finds the cue, and a broken run ends like an unbroken one."""

import copy
import itertools
import json
import math
import sys
from dataclasses import replace
from types import SimpleNamespace

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
from pez_core.language.data import in_turns, split
from pez_core.language.goal import ClassificationGoal
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


class Shown:
    """A method that takes no steps, and shows what it was made of and told."""

    def __init__(self, parts):
        self.parts, self.told = parts, []
        Shown.last = self

    def step(self, share, best):
        self.told.append((share, best))
        ids = self.parts.start.tolist()
        return ids, [float(-place) for place in range(len(ids))], [0.0] * len(ids)

    def state(self):
        return {"nothing": torch.zeros(1)}

    def restore(self, state):
        raise AssertionError("nothing was saved")


@pytest.fixture
def shown_by(task, data, monkeypatch):
    """Fit with a method that shows what it is made of: the method, and the result."""
    monkeypatch.setitem(METHODS, "pez", Shown)

    def run(train=data[0], on_step=None, **changes):
        settings = FitSettings(**{"tokens": 2, "steps": 6, **changes})
        found = fit(task, train, data[1], settings, on_step=on_step)
        return Shown.last, found

    return run


def test_a_method_is_made_of_the_settings(task, data, shown_by):
    parts = shown_by(
        batch=7, fluency=0.25, learning_rate=0.5, weight_decay=0.125, swaps=3, seed=9, candidates=4, blocklist=("so",),
        token_filter="printable",
    )[0].parts  # fmt: skip
    vocabulary, rows = task.model.vocabulary, task.rows(data[0])
    assert (parts.relative_rate, parts.weight_decay, parts.swaps) == (0.5, 0.125, 3)
    assert torch.equal(parts.projection.allowed, vocabulary.allowed_ids("printable", ("so",)))
    assert len(parts.goal.drawn(torch.Generator())) == 7 and parts.goal.drawn(None) == rows
    swapped = in_turns(data[0], 9)[:32]
    assert parts.swap_goal.drawn(None) == parts.swap_goal.drawn(torch.Generator()) == rows.take(swapped)
    for goal, some in ((parts.goal, rows), (parts.swap_goal, rows.take(swapped))):
        assert torch.equal(
            goal.judge(parts.start).score, ClassificationGoal(task, some, 1, 0.25).judge(parts.start).score
        )
    generator = torch.Generator().manual_seed(9)
    allowed = parts.projection.allowed
    assert torch.equal(parts.start, allowed[torch.randint(min(4096, len(allowed)), (4, 2), generator=generator)])
    assert torch.equal(parts.generator.get_state(), generator.get_state())


def test_starts_are_among_the_frequent_tokens(shown_by, monkeypatch):
    monkeypatch.setattr(sys.modules["pez_core.language.fit"], "START_AMONG", 5)
    parts = shown_by(candidates=64)[0].parts
    assert set(parts.start.flatten().tolist()) == set(parts.projection.allowed[:5].tolist())


def test_swaps_are_admitted_that_read_back_and_hold_nothing_blocked(task, shown_by):
    parts = shown_by(blocklist=("Overall verdict",))[0].parts
    ids = task.prompt_ids
    assert parts.admits(ids("green verdict")) and parts.admits(ids("verdict overall"))
    assert not parts.admits(ids("overall verdict"))
    letters = tuple(task.model.vocabulary.encode(letter)[0] for letter in " so")
    assert task.model.vocabulary.decode(letters) == "so" and not parts.admits(letters)


def test_no_more_than_the_pool_is_learned_from(task, data, shown_by):
    parts = shown_by(pool=10, seed=4)[0].parts
    assert parts.goal.drawn(None) == task.rows(split(data[0], 10, 4)[0])
    assert shown_by(pool=64)[0].parts.goal.drawn(None) == task.rows(data[0])


def test_texts_that_were_cut_are_counted_and_learned_from(task, data, shown_by):
    long = Examples(("the movie is lovely . " * 40, *data[0].texts[1:]), data[0].labels)
    method, found = shown_by(train=long)
    assert found.cut == 1 and method.parts.goal.drawn(None) == task.rows(task.fitted(long, 2)[0])


def test_a_method_is_told_its_share_of_the_steps_and_the_best_text(task, shown_by):
    method, found = shown_by(steps=5, validate_every=2)
    assert [share for share, _ in method.told] == [0.0, 0.2, 0.4, 0.6, 0.8]
    best = task.prompt_ids(found.text)
    assert [told for _, told in method.told] == [(), (), best, best, best]
    assert (found.steps, len(found.history)) == (5, 3), "validated after 2, 4 and the last step"


def test_a_method_is_told_its_share_of_the_time(shown_by, monkeypatch):
    """By a clock that goes on by a second whenever it is read: as a step begins, and as it ends."""
    clock = SimpleNamespace(monotonic=itertools.count().__next__)
    monkeypatch.setattr(sys.modules["pez_core.language.fit"], "time", clock)
    method, found = shown_by(steps=10**6, time_budget=10.0)
    assert [share for share, _ in method.told] == [0.1, 0.3, 0.5, 0.7, 0.9]
    assert found.steps == 5 and len(found.history) == 1


def test_the_time_that_a_broken_run_took_counts(task, data, shown_by, tmp_path, monkeypatch):
    monkeypatch.setitem(METHODS, "pez", type("Restored", (Shown,), {"restore": lambda self, state: None}))
    clock = SimpleNamespace(monotonic=itertools.count().__next__)
    monkeypatch.setattr(sys.modules["pez_core.language.fit"], "time", clock)
    settings = FitSettings(tokens=2, steps=10**6, time_budget=10.0, validate_every=1)
    fit(task, *data, settings, tmp_path, lambda progress: progress.step == 2)
    seconds = json.loads((tmp_path / "checkpoint.json").read_text())["seconds"]
    assert seconds == 6, "two steps, each of which reads the clock as it begins, ends and is saved"
    fit(task, *data, settings, tmp_path)
    assert [share for share, _ in Shown.last.told] == [0.7, 1.0]


def test_progress_is_told_after_every_step_until_it_asks_to_stop(shown_by):
    told = []
    method, found = shown_by(
        steps=9, validate_every=2, on_step=lambda progress: told.append(progress) or progress.step == 4
    )
    assert [(progress.step, progress.steps) for progress in told] == [(1, 9), (2, 9), (3, 9), (4, 9)]
    assert (told[0].text, told[0].accuracy) == ("", 0.0)
    assert (told[3].text, told[3].accuracy) == (found.text, found.accuracy)
    assert found.steps == len(method.told) == 4
    assert shown_by(steps=9, on_step=lambda progress: True)[1].text, "stopped before the first validation"


def test_a_result_says_what_it_came_from(task, shown_by):
    _, found = shown_by(keep=3, seed=2)
    assert (found.model, found.template, found.verbalizer) == (
        "tiny-gpt2",
        Template().pattern,
        "bad=terrible,good=great",
    )
    assert found.settings == FitSettings(tokens=2, steps=6, keep=3, seed=2) and found.cut == 0 and found.soft is None
    assert table(found).splitlines()[0] == "accuracy    loss  prompt"
    first = found.ranked[0]
    assert table(found).splitlines()[1] == f"{first.accuracy:8.3f}  {first.loss:6.3f}  {first.text}"


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
    for train, validation in ((Examples((), ()), data[1]), (data[0], Examples((), ()))):
        with pytest.raises(PezError, match="examples are missing; give at least one to train on and one to validate"):
            fit(task, train, validation, SETTINGS)


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
