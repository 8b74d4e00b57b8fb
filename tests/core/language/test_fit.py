"""Learning a prompt: every method finds the cue, and an interrupted run ends like one that was not."""

import copy
import json
import math
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from pez_core import PezError
from pez_core.language import (
    ClassificationResult,
    Classifier,
    Examples,
    FitSettings,
    Template,
    Verbalizer,
    evaluate,
    fit,
)
from pez_core.language.data import in_turns, split
from pez_core.language.judge import ClassificationJudge
from pez_core.language.methods import METHODS
from pez_core.optimiser import run
from pez_core.optimiser.judge import Offer, Verdict
from pez_core.vocabulary import blocked_phrases

TEXT_METHODS = [name for name in METHODS if name != "soft"]

SETTINGS = FitSettings(tokens=2, steps=40, validate_every=5, batch=16, learning_rate=2.0)


@pytest.fixture
def data(make_examples):
    return make_examples(64, 1), make_examples(40, 2)


@pytest.mark.parametrize("method", ["pez", "pez+refine", "autoprompt", "fluentprompt"])
def test_every_method_beats_the_bare_template_by_its_text(classifier, data, make_examples, method):
    held_out = make_examples(60, 9)
    found = fit(classifier, *data, replace(SETTINGS, method=method))
    bare = evaluate(classifier, "", held_out)
    scored = evaluate(classifier, found.text, held_out)
    assert scored.accuracy > bare.accuracy + 0.2
    assert evaluate(classifier, found.text, data[1]).accuracy == pytest.approx(found.accuracy)


def test_a_soft_prompt_is_learned_without_text(classifier, data):
    found = fit(classifier, *data, replace(SETTINGS, method="soft", steps=60, learning_rate=0.5))
    assert found.text == "" and found.soft.shape == (2, 64)
    assert evaluate(classifier, found.soft, data[1]).accuracy == pytest.approx(found.accuracy)
    losses = evaluate(classifier, found.soft, data[0]).loss, evaluate(classifier, "", data[0]).loss
    assert losses[0] < losses[1]


def test_the_bare_template_is_a_method_too(classifier, data):
    found = fit(classifier, *data, replace(SETTINGS, method="template"))
    assert (found.text, found.steps) == ("", 0)
    assert found.accuracy == pytest.approx(evaluate(classifier, "", data[1]).accuracy)


def test_texts_are_ranked_by_validation_best_first(classifier, data):
    found = fit(classifier, *data, replace(SETTINGS, keep=3))
    order = [(-ranked.accuracy, ranked.loss) for ranked in found.ranked]
    assert order == sorted(order) and 1 <= len(order) <= 3
    assert (found.text, found.accuracy) == (found.ranked[0].text, found.ranked[0].accuracy)
    assert all(ranked.text in found.table() for ranked in found.ranked)


def test_fluency_makes_the_prompt_expected(classifier, data):
    plain, fluent = (fit(classifier, *data, replace(SETTINGS, fluency=weight, steps=60)) for weight in (0.0, 0.9))
    perplexity = [evaluate(classifier, found.text, data[1]).perplexity for found in (plain, fluent)]
    assert perplexity[1] < perplexity[0]


class Shown:
    """A method that takes no steps, and shows what it was made of and told."""

    def __init__(self, parts):
        self.parts, self.told = parts, []
        Shown.last = self

    def step(self, share, best):
        self.told.append((share, best))
        ids = self.parts.start
        return Offer(ids, Verdict(-torch.arange(len(ids)).float(), torch.zeros(len(ids))))

    def prompt(self, ids):
        return self.parts.model.vocabulary.decode(ids)

    def state(self):
        return {"nothing": torch.zeros(1)}

    def restore(self, state):
        raise AssertionError("nothing was saved")


@pytest.fixture
def shown_by(classifier, data, monkeypatch):
    """Fit with a method that shows what it is made of: the method, and the result."""
    monkeypatch.setitem(METHODS, "pez", Shown)

    def shown(train=data[0], on_step=None, **changes):
        settings = FitSettings(**{"tokens": 2, "steps": 6, **changes})
        found = fit(classifier, train, data[1], settings, on_step=on_step)
        return Shown.last, found

    return shown


def test_a_method_is_made_of_the_settings(classifier, data, shown_by):
    parts = shown_by(
        batch=7, fluency=0.25, learning_rate=0.5, weight_decay=0.125, swaps=3, seed=9, candidates=4, blocklist=("so",),
        token_filter="printable",
    )[0].parts  # fmt: skip
    vocabulary, examples = classifier.model.vocabulary, classifier.tokenised(data[0], 2)
    assert (parts.relative_rate, parts.weight_decay, parts.swaps) == (0.5, 0.125, 3)
    assert torch.equal(parts.projection.allowed, vocabulary.allowed_ids("printable", ("so",)))
    assert len(parts.judge.drawn(torch.Generator())) == 7 and parts.judge.drawn(None) == examples
    swapped = in_turns(data[0], 9)[:32]
    assert parts.swap_judge.drawn(None) == parts.swap_judge.drawn(torch.Generator()) == examples.take(swapped)
    for judge, some in ((parts.judge, examples), (parts.swap_judge, examples.take(swapped))):
        assert torch.equal(
            judge.verdict(parts.start).score, ClassificationJudge(classifier, some, 1, 0.25).verdict(parts.start).score
        )
    generator = torch.Generator().manual_seed(9)
    allowed = parts.projection.allowed
    assert torch.equal(parts.start, allowed[torch.randint(min(4096, len(allowed)), (4, 2), generator=generator)])
    assert torch.equal(parts.generator.get_state(), generator.get_state())


def test_starts_are_among_the_frequent_tokens(shown_by, monkeypatch):
    monkeypatch.setattr(sys.modules["pez_core.language.fit"], "START_AMONG", 5)
    parts = shown_by(candidates=64)[0].parts
    assert set(parts.start.flatten().tolist()) == set(parts.projection.allowed[:5].tolist())


def test_swaps_are_admitted_that_read_back_and_hold_nothing_blocked(classifier, shown_by):
    parts = shown_by(blocklist=("Overall verdict",))[0].parts
    ids = classifier.prompt_ids
    assert parts.admits(ids("green verdict")) and parts.admits(ids("verdict overall"))
    assert not parts.admits(ids("overall verdict"))
    letters = tuple(classifier.model.vocabulary.encode(letter)[0] for letter in " so")
    assert classifier.model.vocabulary.decode(letters) == "so" and not parts.admits(letters)


def test_no_more_than_the_pool_is_learned_from(classifier, data, shown_by):
    parts = shown_by(pool=10, seed=4)[0].parts
    assert parts.judge.drawn(None) == classifier.tokenised(split(data[0], 10, 4)[0], 2)
    assert shown_by(pool=64)[0].parts.judge.drawn(None) == classifier.tokenised(data[0], 2)


def test_texts_that_were_cut_are_counted_and_learned_from(classifier, data, shown_by):
    long = Examples(("the movie is lovely . " * 40, *data[0].texts[1:]), data[0].labels)
    method, found = shown_by(train=long)
    learned = method.parts.judge.drawn(None)
    truncated, _ = classifier.truncated(long, 2)
    assert found.cut == 1 and learned == replace(classifier.tokenised(truncated, 2), cut=1)
    assert len(learned.heads[0]) < len(classifier.model.vocabulary.encode(long.texts[0]))


def test_a_method_is_told_its_share_of_the_steps_and_the_best_text(classifier, shown_by):
    method, found = shown_by(steps=5, validate_every=2)
    assert [share for share, _ in method.told] == [0.0, 0.2, 0.4, 0.6, 0.8]
    best = classifier.prompt_ids(found.text)
    assert [told for _, told in method.told] == [(), (), best, best, best]
    assert (found.steps, len(found.history)) == (5, 3), "validated after 2, 4 and the last step"


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by three seconds with every step, and not otherwise."""
    clock = SimpleNamespace(now=1000.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(run, "time", clock)
    step = Shown.step

    def three_seconds(method, share, best):
        clock.now += 3.0
        return step(method, share, best)

    monkeypatch.setattr(Shown, "step", three_seconds)
    return clock


def test_a_method_is_told_its_share_of_the_time(shown_by, clock):
    method, found = shown_by(steps=10**6, time_budget=10.0)
    assert [share for share, _ in method.told] == pytest.approx([0.0, 0.3, 0.6, 0.9])
    assert found.steps == 4 and len(found.history) == 1, "no step begins when the time is over; the last is validated"


def test_a_step_is_taken_however_short_the_time(shown_by, clock):
    method, found = shown_by(steps=10**6, time_budget=1.0)
    assert (found.steps, len(method.told), len(found.history)) == (1, 1, 1) and found.text


def test_the_time_that_an_interrupted_run_took_counts(classifier, data, shown_by, tmp_path, monkeypatch, clock):
    monkeypatch.setitem(METHODS, "pez", type("Restored", (Shown,), {"restore": lambda self, state: None}))
    settings = FitSettings(tokens=2, steps=10**6, time_budget=10.0, validate_every=1)
    fit(classifier, *data, settings, tmp_path, lambda progress: progress.step == 2)
    assert json.loads((tmp_path / "checkpoint.json").read_text())["seconds"] == pytest.approx(6.0), "two steps"
    clock.now += 1e6
    found = fit(classifier, *data, settings, tmp_path)
    assert [share for share, _ in Shown.last.told] == pytest.approx([0.6, 0.9])
    assert found.steps == 4, "those before the interruption included"


def test_the_last_step_is_validated_and_saved_when_showing_progress_uses_up_the_time(
    classifier, data, shown_by, tmp_path, clock
):
    def shown(progress):
        clock.now += 5.0 * (progress.step == 3)

    settings = FitSettings(tokens=2, steps=10**6, time_budget=10.0, validate_every=2)
    found = fit(classifier, *data, settings, tmp_path, shown)
    assert len(found.history) == 2, "validated after 2 and the last step"
    assert json.loads((tmp_path / "checkpoint.json").read_text())["step"] == found.steps > 2


def test_progress_is_told_after_every_step_until_it_asks_to_stop(shown_by):
    told = []
    method, found = shown_by(
        steps=9, validate_every=2, on_step=lambda progress: told.append(progress) or progress.step == 4
    )
    assert [(progress.step, progress.steps) for progress in told] == [(1, 9), (2, 9), (3, 9), (4, 9)]
    assert (told[0].text, told[0].reported) == ("", 0.0)
    assert (told[3].text, told[3].reported) == (found.text, found.accuracy)
    assert found.steps == len(method.told) == 4
    assert shown_by(steps=9, on_step=lambda progress: True)[1].text, "stopped before the first validation"


def test_a_result_says_what_it_came_from(classifier, shown_by):
    _, found = shown_by(keep=3, seed=2)
    assert (found.model, found.template, found.verbalizer) == (
        "tiny-gpt2",
        Template().pattern,
        "bad=terrible,good=great",
    )
    assert found.settings == FitSettings(tokens=2, steps=6, keep=3, seed=2) and found.cut == 0 and found.soft is None
    assert found.validated_on == 40 and found.steps == 6
    assert found.table().splitlines()[0] == "accuracy    loss  prompt"
    first = found.ranked[0]
    assert found.table().splitlines()[1] == f"{first.accuracy:8.3f}  {first.loss:6.3f}  {first.text}"


@pytest.mark.parametrize("method", METHODS)
def test_an_interrupted_run_ends_like_one_that_was_not(classifier, data, tmp_path, method):
    settings = replace(SETTINGS, method=method, candidates=2, fluency=0.1, steps=24)
    whole = fit(classifier, *data, settings, tmp_path / "whole")
    fit(classifier, *data, settings, tmp_path / "interrupted", lambda progress: progress.step == 17)
    resumed = fit(classifier, *data, settings, tmp_path / "interrupted")
    assert resumed.ranked == whole.ranked and resumed.history == whole.history
    if whole.soft is not None:
        assert torch.equal(resumed.soft, whole.soft)


def test_a_run_is_repeatable_and_depends_on_its_seed(classifier, data):
    one, same, other = (fit(classifier, *data, replace(SETTINGS, seed=seed)) for seed in (1, 1, 2))
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


def changed(classifier, **changes):
    """A classifier like this one, with another model, template or verbalizer."""
    parts = {"model": classifier.model, "template": classifier.template, "verbalizer": classifier.verbalizer}
    return Classifier(**{**parts, **changes})


DULL, SWAPPED = ("the plot is dull .",), Verbalizer({"bad": ("great",), "good": ("terrible",)})

OTHER_RUNS = {
    "training labels": lambda same, train, rest: (same, flipped(train), rest),
    "training texts": lambda same, train, rest: (same, replace(train, texts=train.texts[::-1]), rest),
    "validation labels": lambda same, train, rest: (same, train, flipped(rest)),
    "validation texts": lambda same, train, rest: (same, train, replace(rest, texts=DULL + rest.texts[1:])),
    "validation texts and validation labels": lambda same, train, rest: (same, train, rest.take(range(9))),
    "template": lambda same, *data: (changed(same, template=Template("{text} {prompt} so {label}")), *data),
    "verbalizer": lambda same, *data: (changed(same, verbalizer=SWAPPED), *data),
    "model name": lambda same, *data: (changed(same, model=renamed(same.model)), *data),
    "model weights": lambda same, *data: (changed(same, model=nudged(same.model)), *data),
}


@pytest.mark.parametrize("other", OTHER_RUNS)
def test_a_checkpoint_of_another_run_is_refused_with_what_differs(classifier, data, tmp_path, other):
    settings = replace(SETTINGS, steps=1)
    fit(classifier, *data, settings, tmp_path)
    message = f"checkpoint in {str(tmp_path)!r} is of a run with other {other}; choose another folder."
    with pytest.raises(PezError) as error:
        fit(*OTHER_RUNS[other](classifier, *data), settings, tmp_path)
    assert str(error.value) == message


def test_a_checkpoint_of_other_settings_is_refused_with_their_names(classifier, data, tmp_path):
    fit(classifier, *data, replace(SETTINGS, steps=1), tmp_path)
    with pytest.raises(PezError, match="is of a run with other learning rate, blocklist and batch; choose another"):
        fit(classifier, *data, replace(SETTINGS, steps=1, learning_rate=1.0, blocklist=("so",), batch=4), tmp_path)


def test_a_checkpoint_of_the_same_run_is_found_whatever_its_settings(classifier, data, tmp_path):
    settings = replace(SETTINGS, steps=2, blocklist=("so", "green"), time_budget=1000.0, seed=2**64 - 1)
    assert fit(classifier, *data, settings, tmp_path).ranked == fit(classifier, *data, settings, tmp_path).ranked


def first_version(fields):
    """What was written before checkpoints told their version: all else is alike."""
    return {name: fields[name] for name in ("run", "step", "seconds", "ranking", "tensors")}


OTHER_VERSIONS = {
    "the first": first_version,
    "one before that": lambda fields: {**first_version(fields), "run": [{"steps": 1}, "tiny-gpt2", "{text} {label}"]},
    "a later one": lambda fields: {**fields, "version": fields["version"] + 1},
}


@pytest.mark.parametrize("other", OTHER_VERSIONS)
def test_a_checkpoint_of_another_version_is_refused(classifier, data, tmp_path, other):
    settings = replace(SETTINGS, steps=2, validate_every=1)
    fit(classifier, *data, settings, tmp_path, lambda progress: True)
    path = tmp_path / "checkpoint.json"
    fields = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(OTHER_VERSIONS[other](fields)), encoding="utf-8")
    message = f"checkpoint in {str(tmp_path)!r} was written by another version; delete the folder to start again."
    with pytest.raises(PezError) as error:
        fit(classifier, *data, settings, tmp_path)
    assert str(error.value) == message
    path.write_text(json.dumps(fields), encoding="utf-8")
    assert fit(classifier, *data, settings, tmp_path).steps == 2, "as it was, it is gone on from"


def test_without_a_folder_no_weight_is_hashed(classifier, data, monkeypatch):
    monkeypatch.setattr(type(classifier.model), "fingerprint", lambda model: pytest.fail("the weights were hashed"))
    fit(classifier, *data, replace(SETTINGS, steps=1))


def test_a_run_whose_time_is_spent_ends_where_it_was(classifier, data, tmp_path):
    settings = replace(SETTINGS, steps=10**6, time_budget=0.2)
    first = fit(classifier, *data, settings, tmp_path)
    again = fit(classifier, *data, settings, tmp_path)
    assert (again.steps, again.ranked, again.history) == (first.steps, first.ranked, first.history)


@pytest.mark.parametrize("content", ["{", "{}", '{"tensors": "none.safetensors"}'])
def test_a_broken_checkpoint_is_refused(classifier, data, tmp_path, content):
    (tmp_path / "checkpoint.json").write_text(content)
    with pytest.raises(PezError, match="cannot be read; delete the folder to start again"):
        fit(classifier, *data, SETTINGS, tmp_path)


def test_the_time_budget_ends_it(classifier, data):
    found = fit(classifier, *data, replace(SETTINGS, steps=10**6, time_budget=1.0))
    assert 0 < found.steps < 10**6 and found.text


def test_blocked_words_are_never_used(classifier, data):
    found = fit(classifier, *data, replace(SETTINGS, blocklist=("verdict",)))
    assert not any("verdict" in ranked.text.split() for ranked in found.ranked)


@pytest.mark.parametrize("method", TEXT_METHODS)
def test_a_blocked_phrase_is_in_no_text_whatever_the_method(classifier, data, method):
    settings = replace(SETTINGS, method=method, steps=20)
    phrase = fit(classifier, *data, settings).text
    assert len(phrase.split()) == 2
    found = fit(classifier, *data, replace(settings, blocklist=(phrase.upper(),)))
    assert found.ranked and not any(blocked_phrases([phrase]).search(ranked.text) for ranked in found.ranked)


def all_words_but(vocabulary, *kept):
    return tuple(vocabulary.texts[token] for token in vocabulary.words if vocabulary.texts[token] not in kept)


@pytest.mark.parametrize("method", TEXT_METHODS)
def test_when_every_text_is_blocked_the_blocklist_is_named(classifier, data, method):
    pairs = ("maybe maybe", "maybe green", "green maybe", "green green")
    blocklist = (*all_words_but(classifier.model.vocabulary, "maybe", "green"), *pairs)
    allowed = fit(classifier, *data, replace(SETTINGS, method=method, steps=6, blocklist=blocklist[: -len(pairs)]))
    assert allowed.text in pairs
    with pytest.raises(PezError, match="blocklist is in every text that was found; take phrases out of it, or take"):
        fit(classifier, *data, replace(SETTINGS, method=method, steps=6, blocklist=blocklist))


def test_the_result_survives_json(classifier, data):
    found = fit(classifier, *data, replace(SETTINGS, steps=5, blocklist=("green",)))
    assert ClassificationResult.from_json(found.to_json()) == found


def test_a_result_that_does_not_say_what_it_was_validated_on_is_read_too(classifier, data):
    """Results of version 0.1 lack it."""
    found = fit(classifier, *data, replace(SETTINGS, steps=1))
    fields = json.loads(found.to_json())
    assert fields.pop("validated_on") == 40
    assert ClassificationResult.from_json(json.dumps(fields)) == replace(found, validated_on=0)


def test_examples_are_needed(classifier, data):
    for train, validation in ((Examples((), ()), data[1]), (data[0], Examples((), ()))):
        with pytest.raises(PezError, match="examples are missing; give at least one to train on and one to validate"):
            fit(classifier, train, validation, SETTINGS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "magic"}, "method 'magic' is unknown; choose one of pez"),
        ({"tokens": 0}, "tokens is 0; choose 1 or more"),
        ({"steps": -1}, "steps is -1; choose 1 or more"),
        *(({name: 0}, f"^{name} is 0; choose 1 or more") for name in ("steps", "candidates", "batch", "pool")),
        *(({name: 0}, f"^{name} is 0; choose 1 or more") for name in ("keep", "swaps")),
        ({"validate_every": 0}, "^validate every is 0; choose 1 or more"),
        ({"fluency": 1.0}, "fluency is 1.0; choose a weight from 0 to below 1"),
        ({"fluency": -0.1}, "fluency is -0.1; choose a weight"),
        ({"fluency": math.nan}, "fluency is nan; choose a weight"),
        *(
            ({"learning_rate": rate}, f"learning rate is {rate}; choose more than 0")
            for rate in (-1.0, 0.0, math.nan, math.inf)
        ),
        *(
            ({"weight_decay": decay}, f"weight decay is {decay}; choose 0 or more")
            for decay in (-1.0, math.nan, math.inf)
        ),
        *(
            ({"time_budget": seconds}, f"time budget is {seconds}; choose a number of seconds above 0")
            for seconds in (0.0, -1.0, math.nan, math.inf)
        ),
        *(({"seed": seed}, rf"seed is {seed}; choose 0 to 2\*\*64 - 1") for seed in (-1, 2**64)),
    ],
)
def test_settings_that_cannot_be_used_are_refused(changes, message):
    with pytest.raises(PezError, match=message):
        FitSettings(**changes)


def test_settings_at_the_ends_of_their_ranges_can_be_used(classifier, data):
    least = {"tokens": 1, "candidates": 1, "batch": 1, "pool": 1, "validate_every": 1, "keep": 1, "swaps": 1}
    for changes in ({**least, "seed": 0, "weight_decay": 0.0}, {"seed": 2**64 - 1, "fluency": 0.99, "steps": 1}):
        assert fit(classifier, *data, replace(SETTINGS, **{"steps": 1, **changes})).text


@pytest.mark.parametrize("tokens", [60, 10**9])
def test_more_tokens_than_the_model_reads_get_one_sentence(classifier, data, tokens):
    with pytest.raises(PezError, match=f"prompt length {tokens} and template leave no room for a text; shorten them"):
        fit(classifier, *data, replace(SETTINGS, tokens=tokens))
