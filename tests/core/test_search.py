"""The search: as published, repeatable, stoppable, and honest about the text that it returns."""

import time
from dataclasses import replace
from itertools import islice

import pytest
import torch

from benchmarks.reference import reference_pez
from pez_core import PezError, SearchSettings
from pez_core.encoders.clip_vocabulary import ClipVocabulary
from pez_core.objectives import Match
from pez_core.optimiser.descent import Descent
from pez_core.optimiser.projection import Projection
from pez_core.optimiser.refinement import Refinement
from pez_core.search import search

QUICK = SearchSettings(language=0, tokens=6, steps=25, candidates=3, refinement=0.4, seed=5)


def find(encoder, target, settings=QUICK, on_step=None):
    return search(encoder, Match(target), settings, on_step)


@pytest.fixture(scope="module")
def target(encoder):
    return encoder.encode_text("a glossy drawing of a smiling cat face with heart eyes")


def test_it_follows_the_loop_written_out_plainly(encoder, target, monkeypatch):
    """Gradient at the projection, AdamW step on the iterate, all 77 positions: the same ids at each step."""
    settings = replace(QUICK, candidates=1, refinement=0, token_filter="all")
    tower, allowed = encoder.tower, encoder.vocabulary.allowed_ids("all")
    (start,) = Projection(tower.tables, allowed).random_ids((1, 6), torch.Generator().manual_seed(5))
    plainly = reference_pez(tower._text, target, start, tower.start_id, tower.end_id, allowed)
    expected = [step.ids for step in islice(plainly, settings.steps)]

    seen = []
    project = Projection.__call__
    monkeypatch.setattr(Projection, "__call__", lambda self, iterate: seen.append(project(self, iterate)) or seen[-1])
    find(encoder, target, settings)
    assert [ids[0].tolist() for ids in seen] == expected


def test_the_same_seed_finds_the_same_text_and_another_seed_another(encoder, target):
    first, again, other = (find(encoder, target, replace(QUICK, seed=seed)) for seed in (5, 5, 6))
    assert first == again
    assert first.text != other.text


def test_similarity_is_that_of_the_returned_text_tokenised_again(encoder, target):
    for token_filter in ("ascii words", "printable", "all"):
        found = find(encoder, target, replace(QUICK, token_filter=token_filter))
        assert encoder.vocabulary.encode(found.text) == list(found.tokens)
        again = encoder.encode_text(found.text) @ target[0]
        assert found.similarity == pytest.approx(again.item(), abs=1e-5)


def test_more_steps_never_lower_the_best_similarity(encoder, target):
    history = find(encoder, target).history
    assert len(history) == QUICK.steps + QUICK.rounds == 35
    assert list(history) == sorted(history)


def test_steps_before_the_first_text_that_reads_back_are_left_out_of_the_history(encoder, target):
    steps = []
    settings = replace(QUICK, tokens=64, candidates=1, token_filter="all")
    found = find(encoder, target, settings, on_step=steps.append)
    without = [progress for progress in steps if not progress.text]
    assert without and all(progress.reported == -1 for progress in without)
    assert len(found.history) == len(steps) - len(without)
    assert min(found.history) > -1


def test_candidates_do_not_influence_each_other(encoder, target, monkeypatch):
    """The first of three candidates goes the way that it goes alone."""
    trajectories = []
    project, draw = Projection.__call__, Projection.random_ids
    monkeypatch.setattr(
        Projection, "random_ids", lambda self, shape, generator: draw(self, (3, 6), generator)[: shape[0]]
    )
    for candidates in (1, 3):
        seen = []
        monkeypatch.setattr(
            Projection, "__call__", lambda self, iterate, seen=seen: seen.append(project(self, iterate)) or seen[-1]
        )
        find(encoder, target, replace(QUICK, candidates=candidates, steps=10, refinement=0))
        trajectories.append([ids[0].tolist() for ids in seen])
    assert trajectories[0] == trajectories[1]


def test_prefix_and_suffix_stay_as_they_are_written(encoder, target):
    found = find(encoder, target, replace(QUICK, prefix="A Photo of", suffix="on a table"))
    assert found.text.startswith("A Photo of ") and found.text.endswith(" on a table")
    assert found.similarity == pytest.approx((encoder.encode_text(found.text) @ target[0]).item(), abs=1e-5)


def test_blocked_words_never_appear(encoder, target):
    free = find(encoder, target)
    blocked = tuple(free.text.split())
    found = find(encoder, target, replace(QUICK, blocklist=blocked))
    assert not set(blocked) & set(found.text.split())


def test_the_callback_sees_every_step_and_can_stop(encoder, target):
    steps = []

    def stop_at_seven(progress):
        steps.append(progress)
        return progress.step == 7

    found = find(encoder, target, on_step=stop_at_seven)
    assert [progress.step for progress in steps] == list(range(1, 8))
    assert steps[-1].text == found.text
    assert steps[-1].reported == pytest.approx(found.similarity, abs=1e-6)


def test_the_callback_hears_of_each_step_as_soon_as_it_was_taken(encoder, target, monkeypatch):
    taken, heard = [], []

    def counted(descent):
        taken.append(descent)
        return step(descent)

    step = Descent.step
    monkeypatch.setattr(Descent, "step", counted)
    find(
        encoder,
        target,
        replace(QUICK, steps=5),
        lambda progress: heard.append((progress.step, progress.steps, len(taken))),
    )
    assert heard == [(1, 7, 1), (2, 7, 2), (3, 7, 3), (4, 7, 4), (5, 7, 5), (6, 7, 5), (7, 7, 5)]


@pytest.mark.parametrize(
    ("blocklist", "message"),
    [
        ((), "token filter 'printable' gave no text that reads back within the prompt length; "
             "choose ascii words, or raise the steps."),
        (("rude",), "blocklist rejected every prompt that was found; take words out of it or raise the steps."),
    ],
)  # fmt: skip
def test_when_no_text_reads_back_the_error_says_what_to_change(encoder, target, blocklist, message):
    reads_nothing = ClipVocabulary(lambda text: [])
    settings = replace(QUICK, steps=2, token_filter="printable", blocklist=blocklist)
    with pytest.raises(PezError) as error:
        search(replace(encoder, vocabulary=reads_nothing), Match(target), settings)
    assert str(error.value) == message


def test_each_step_draws_its_mini_batch_by_the_seed(encoder):
    """Targets that point away from each other: what was drawn decides where the search goes."""
    targets = torch.cat([encoder.encode_text(text) for text in ("a red rocket", "green pear", "the blue whale")])
    settings = replace(QUICK, refinement=0, batch=1, steps=10)
    first, again, whole = (search(encoder, Match(targets, batch), settings) for batch in (1, 1, None))
    assert first == again and first.history != whole.history


def test_a_callback_that_raises_ends_the_search_and_leaves_the_weights(encoder, target):
    before = encoder.tower.embeddings.clone()

    def fail(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find(encoder, target, on_step=fail)
    assert torch.equal(encoder.tower.embeddings, before)


@pytest.mark.parametrize(("refinement", "steps", "rounds"), [(1.0, 4, 16), (0, 20, 0)])
def test_a_time_budget_ends_the_search_and_leaves_most_of_it_to_refinement(
    encoder, target, monkeypatch, refinement, steps, rounds
):
    """20 seconds, of which every step and every round takes one: a fifth for the descent, or all when it is alone."""
    taken = {"steps": 0, "rounds": 0}

    def counted(name, work):
        def wrapped(*arguments):
            taken[name] += 1
            return work(*arguments)

        return wrapped

    monkeypatch.setattr(Descent, "step", counted("steps", Descent.step))
    monkeypatch.setattr(Refinement, "round", counted("rounds", Refinement.round))
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0 + taken["steps"] + taken["rounds"])
    find(encoder, target, replace(QUICK, steps=10_000, refinement=refinement, time_budget=20.0))
    assert taken == {"steps": steps, "rounds": rounds}


def test_refinement_goes_on_where_the_descent_ended(encoder, contents):
    plain = find(encoder, contents.features[:1], replace(QUICK, refinement=0))
    refined = find(encoder, contents.features[:1], replace(QUICK, refinement=1.6))
    assert refined.history[: QUICK.steps] == plain.history
    assert refined.similarity > plain.similarity + 0.02


def test_prefix_prompt_and_suffix_must_fit_the_context(encoder, target):
    with pytest.raises(PezError, match="prefix, prompt length and suffix take 78 tokens together"):
        find(encoder, target, replace(QUICK, tokens=75, prefix="one two three"))


def test_a_word_preference_of_over_2_the_widest_gap_between_cosines_leaves_words_alone(encoder, target, monkeypatch):
    words, tried, project = encoder.vocabulary.allowed_ids("ascii words"), [], Projection.__call__
    monkeypatch.setattr(Projection, "__call__", lambda self, iterate: tried.append(project(self, iterate)) or tried[-1])
    settings = replace(QUICK, token_filter="all", steps=5)
    for preference, alone in ((0.0, False), (2.1, True)):
        tried.clear()
        found = find(encoder, target, replace(settings, word_preference=preference))
        assert torch.isin(torch.stack(tried), words).all().item() is alone
    assert set(found.tokens) <= set(words.tolist())


def test_a_word_preference_leaves_fewer_fragments(encoder, contents):
    words = set(encoder.vocabulary.allowed_ids("ascii words").tolist())
    fragments = []
    for preference in (0.0, 0.3):
        settings = replace(QUICK, tokens=16, token_filter="all", word_preference=preference)
        tokens = [
            token
            for seed in range(3)
            for token in find(encoder, contents.features[:1], replace(settings, seed=seed)).tokens
        ]
        fragments.append(sum(token not in words for token in tokens))
    assert fragments[0] > 3 and fragments[1] < fragments[0] / 2
