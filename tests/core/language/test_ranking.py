"""Ranking: the best texts by validation, of what the steps offer."""

import pytest
import torch

from pez_core.language import evaluate
from pez_core.language.ranking import Ranked, Ranking
from pez_core.vocabulary import blocked_phrases

CUE, HALF, OTHER, SHORT = "overall verdict", "verdict today", "green window", "often"


@pytest.fixture
def ranking_of(task, examples):
    """A new ranking on 20 examples."""
    return lambda keep=5, blocklist=(): Ranking(task, examples(20, 3), keep, blocked_phrases(blocklist))


@pytest.fixture
def ids(task):
    return lambda *texts: [list(task.prompt_ids(text)) for text in texts]


def texts(ranking):
    return {ranked.text for ranked in ranking.ranked}


def test_the_best_by_its_mini_batch_and_the_last_are_validated(ranking_of, ids):
    ranking = ranking_of()
    ranking.offer((ids(OTHER, CUE, HALF), [-2.0, -1.0, -3.0], [0.0, 0.0, 0.0]))
    ranking.offer((ids(HALF), [-3.0], [0.0]))
    ranking.offer((ids(SHORT), [-1.5], [0.0]))
    assert ranking.ranked == [] and (ranking.text, ranking.accuracy, ranking.best_ids) == ("", 0.0, ())
    ranking.validate()
    assert texts(ranking) == {CUE, SHORT}
    ranking.offer((ids(HALF), [-9.0], [0.0]))
    ranking.validate()
    assert texts(ranking) == {CUE, SHORT, HALF}


def test_a_later_offer_must_be_better_to_take_the_place_of_the_best(ranking_of, ids):
    ranking = ranking_of()
    for text, score in ((CUE, -1.0), (OTHER, -1.0), (SHORT, -0.5), (HALF, -2.0)):
        ranking.offer((ids(text), [score], [0.0]))
    ranking.validate()
    assert texts(ranking) == {SHORT, HALF}


def test_a_ranked_text_has_the_accuracy_and_the_loss_of_its_evaluation(ranking_of, ids, task, examples):
    ranking = ranking_of()
    ranking.offer((ids(CUE), [0.0], [0.0]))
    ranking.validate()
    wanted = evaluate(task, CUE, examples(20, 3))
    (ranked,) = ranking.ranked
    assert (ranked.text, ranked.accuracy) == (CUE, pytest.approx(wanted.accuracy))
    assert ranked.loss == pytest.approx(wanted.loss)
    assert (ranking.text, ranking.accuracy) == (CUE, ranked.accuracy)
    assert ranking.best_ids == task.prompt_ids(CUE)


def test_texts_stand_by_accuracy_then_by_loss_and_only_the_best_stay(ranking_of):
    ranking = ranking_of(keep=2)
    for ranked in (Ranked("a", 0.5, 0.3), Ranked("b", 0.6, 0.9), Ranked("c", 0.6, 0.8), Ranked("d", 0.4, 0.1)):
        ranking._rank(ranked)
    assert [ranked.text for ranked in ranking.ranked] == ["c", "b"]


def test_a_text_is_judged_once(ranking_of, monkeypatch):
    ranking, judged = ranking_of(), []
    real = ranking._judged
    monkeypatch.setattr(ranking, "_judged", lambda text, prompt: judged.append(text) or real(text, prompt))
    for text in (CUE, OTHER, CUE):
        ranking.consider_text(text)
    restored = ranking_of()
    restored.restore(ranking.state(), ranking.tensors)
    monkeypatch.setattr(restored, "_judged", lambda text, prompt: judged.append(text) or real(text, prompt))
    restored.consider_text(CUE)
    assert judged == [CUE, OTHER] and restored.ranked == ranking.ranked


def test_the_history_is_the_best_accuracy_at_every_validation(ranking_of, ids):
    ranking = ranking_of()
    for text in (OTHER, CUE, SHORT):
        ranking.offer((ids(text), [0.0], [0.0]))
        ranking.validate()
    assert ranking.history[0] < ranking.history[1] == ranking.history[2] == ranking.accuracy
    restored = ranking_of()
    restored.restore(ranking.state(), {})
    assert restored.history == ranking.history and restored.history is not ranking.history


def test_blocked_texts_are_passed_over_for_the_next_best(ranking_of, ids):
    ranking = ranking_of(blocklist=["verdict TODAY"])
    ranking.offer((ids(OTHER, HALF, CUE), [-3.0, -1.0, -2.0], [0.0, 0.0, 0.0]))
    ranking.offer((ids(HALF), [0.0], [0.0]))
    ranking.validate()
    assert texts(ranking) == {CUE}


def test_a_blocked_word_that_several_tokens_spell_is_seen(ranking_of, ids, task):
    letters = [task.model.vocabulary.encode(letter)[0] for letter in " green"]
    split = [*ids("so")[0], *letters]
    assert task.model.vocabulary.decode(split) == "so green"
    ranking = ranking_of(blocklist=["green"])
    ranking.offer(([split], [0.0], [0.0]))
    ranking.validate()
    assert ranking.ranked == []


def test_when_all_is_blocked_what_waits_goes_on_waiting(ranking_of, ids):
    ranking = ranking_of(blocklist=["verdict"])
    ranking.offer((ids(OTHER), [-5.0], [0.0]))
    ranking.offer((ids(CUE, HALF), [1.0, 2.0], [0.0, 0.0]))
    ranking.validate()
    assert texts(ranking) == {OTHER}


def test_only_a_better_soft_prompt_takes_the_place_of_the_best(ranking_of, task):
    class Soft:
        embedded = task.model.embed(torch.tensor([task.prompt_ids(OTHER)]))

    ranking = ranking_of()
    ranking.soft = Soft()
    found = []
    for text in (OTHER, CUE, OTHER):
        Soft.embedded = task.model.embed(torch.tensor([task.prompt_ids(text)]))
        ranking.offer(([[]], [0.0], [0.0]))
        ranking.validate()
        found.append(ranking.best_soft)
    assert torch.equal(found[0], task.model.embed(torch.tensor(task.prompt_ids(OTHER))))
    assert torch.equal(found[1], task.model.embed(torch.tensor(task.prompt_ids(CUE))))
    assert torch.equal(found[2], found[1]) and torch.equal(ranking.tensors["best_soft"], found[1])
    assert len(ranking.ranked) == 1 and ranking.text == ""
    restored = ranking_of()
    restored.restore(ranking.state(), ranking.tensors)
    assert torch.equal(restored.best_soft, found[1])
    assert ranking_of().tensors == {}
