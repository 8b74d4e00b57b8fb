"""Ranking: the best prompts by validation, of what the steps offer."""

import pytest
import torch

from pez_core.language import evaluate
from pez_core.language.ranking import Ranked, Ranking
from pez_core.optimiser.judge import Offer, Verdict
from pez_core.vocabulary import blocked_phrases

CUE, HALF, OTHER, SHORT = "overall verdict", "verdict today", "green window", "often"


@pytest.fixture
def ranking_of(classifier, make_examples):
    """A new ranking on 20 examples."""
    return lambda keep=5, blocklist=(): Ranking(classifier, make_examples(20, 3), keep, blocked_phrases(blocklist))


def offer_of(ids, scores):
    """What a step offers: learned ids with these scores."""
    return Offer(torch.tensor(ids), Verdict(torch.tensor(scores), torch.zeros(len(scores))))


@pytest.fixture
def offered(classifier):
    """An offer of texts with these scores."""
    return lambda *texts, scores: offer_of([classifier.prompt_ids(text) for text in texts], scores)


@pytest.fixture
def decode(classifier):
    return classifier.model.vocabulary.decode


@pytest.fixture
def embed(classifier):
    """A soft prompt: the embeddings of a text."""
    return lambda text: classifier.model.embed(torch.tensor(classifier.prompt_ids(text)))


def texts(ranking):
    return {ranked.text for ranked in ranking.ranked}


def test_the_best_by_its_mini_batch_and_the_last_are_validated(ranking_of, offered, decode):
    ranking = ranking_of()
    ranking.consider(offered(OTHER, CUE, HALF, scores=[-2.0, -1.0, -3.0]))
    ranking.consider(offered(HALF, scores=[-3.0]))
    ranking.consider(offered(SHORT, scores=[-1.5]))
    assert ranking.ranked == [] and (ranking.text, ranking.accuracy, ranking.best_ids) == ("", 0.0, ())
    ranking.validate(decode)
    assert texts(ranking) == {CUE, SHORT}
    ranking.consider(offered(HALF, scores=[-9.0]))
    ranking.validate(decode)
    assert texts(ranking) == {CUE, SHORT, HALF}


def test_a_later_offer_must_be_better_to_take_the_place_of_the_best(ranking_of, offered, decode):
    for score, best in ((-1.0, CUE), (-0.5, SHORT)):
        ranking = ranking_of()
        for text, scores in ((CUE, [-1.0]), (SHORT, [score]), (HALF, [-2.0])):
            ranking.consider(offered(text, scores=scores))
        ranking.validate(decode)
        assert texts(ranking) == {best, HALF}


def test_a_ranked_text_has_the_accuracy_and_the_loss_of_its_evaluation(
    ranking_of, offered, decode, classifier, make_examples
):
    ranking = ranking_of()
    ranking.consider(offered(CUE, scores=[0.0]))
    ranking.validate(decode)
    wanted = evaluate(classifier, CUE, make_examples(20, 3))
    (ranked,) = ranking.ranked
    assert (ranked.text, ranked.accuracy) == (CUE, pytest.approx(wanted.accuracy))
    assert ranked.loss == pytest.approx(wanted.loss)
    assert (ranking.text, ranking.accuracy) == (CUE, ranked.accuracy)
    assert ranking.best_ids == classifier.prompt_ids(CUE)


def test_prompts_are_what_the_method_says_that_ids_stand_for(ranking_of, offered, classifier):
    asked = []
    ranking = ranking_of()
    ranking.consider(offered(OTHER, scores=[1.0]))
    ranking.consider(offered(HALF, scores=[0.0]))
    ranking.validate(lambda ids: asked.append(ids) or CUE)
    assert asked == [classifier.prompt_ids(OTHER), classifier.prompt_ids(HALF)] and texts(ranking) == {CUE}


def test_texts_stand_by_accuracy_then_by_loss_and_only_the_best_stay(ranking_of, monkeypatch):
    ranking = ranking_of(keep=2)
    known = {"a": (0.5, 0.3), "b": (0.6, 0.9), "c": (0.6, 0.8), "d": (0.4, 0.1)}
    monkeypatch.setattr(ranking, "_judged", lambda text, prompt: Ranked(text, *known[prompt]))
    for text in known:
        ranking.judge(text)
    assert [ranked.text for ranked in ranking.ranked] == ["c", "b"]


def test_a_text_is_judged_once(ranking_of, monkeypatch):
    ranking, judged = ranking_of(), []
    real = ranking._judged
    monkeypatch.setattr(ranking, "_judged", lambda text, prompt: judged.append(text) or real(text, prompt))
    for text in (CUE, OTHER, CUE):
        ranking.judge(text)
    restored = ranking_of()
    restored.restore(ranking.state(), ranking.tensors)
    monkeypatch.setattr(restored, "_judged", lambda text, prompt: judged.append(text) or real(text, prompt))
    restored.judge(CUE)
    assert judged == [CUE, OTHER] and restored.ranked == ranking.ranked


def test_the_history_is_the_best_accuracy_at_every_validation(ranking_of, offered, decode):
    ranking = ranking_of()
    for text in (OTHER, CUE, SHORT):
        ranking.consider(offered(text, scores=[0.0]))
        ranking.validate(decode)
    assert ranking.history[0] < ranking.history[1] == ranking.history[2] == ranking.accuracy
    restored = ranking_of()
    restored.restore(ranking.state(), {})
    assert restored.history == ranking.history and restored.history is not ranking.history


def test_blocked_texts_are_passed_over_for_the_next_best(ranking_of, offered, decode):
    ranking = ranking_of(blocklist=["verdict TODAY"])
    ranking.consider(offered(OTHER, HALF, CUE, scores=[-3.0, -1.0, -2.0]))
    ranking.consider(offered(HALF, scores=[0.0]))
    ranking.validate(decode)
    assert texts(ranking) == {CUE}


def test_a_blocked_word_that_several_tokens_spell_is_seen(ranking_of, decode, classifier):
    letters = [classifier.model.vocabulary.encode(letter)[0] for letter in " green"]
    split = [*classifier.prompt_ids("so"), *letters]
    assert decode(split) == "so green"
    ranking = ranking_of(blocklist=["green"])
    ranking.consider(offer_of([split], [0.0]))
    ranking.validate(decode)
    assert ranking.ranked == []


def test_when_all_is_blocked_what_waits_goes_on_waiting(ranking_of, offered, decode):
    ranking = ranking_of(blocklist=["verdict"])
    ranking.consider(offered(OTHER, scores=[-5.0]))
    ranking.consider(offered(CUE, HALF, scores=[1.0, 2.0]))
    ranking.validate(decode)
    assert texts(ranking) == {OTHER}


def test_only_a_better_soft_prompt_takes_the_place_of_the_best(ranking_of, embed):
    ranking, nothing = ranking_of(), offer_of([[]], [0.0])
    found = []
    for text in (OTHER, CUE, OTHER):
        ranking.consider(nothing)
        ranking.validate(lambda ids, text=text: embed(text))
        found.append(ranking.soft)
    assert torch.equal(found[0], embed(OTHER)) and torch.equal(found[1], embed(CUE))
    assert torch.equal(found[2], found[1]) and torch.equal(ranking.tensors["best_soft"], found[1])
    assert len(ranking.ranked) == 1 and ranking.text == ""
    restored = ranking_of()
    restored.restore(ranking.state(), ranking.tensors)
    assert torch.equal(restored.soft, found[1])
    assert ranking_of().tensors == {} and ranking_of().soft is None


def test_a_soft_prompt_has_the_accuracy_and_the_loss_of_its_evaluation(ranking_of, embed, classifier, make_examples):
    ranking = ranking_of()
    ranking.judge(embed(CUE))
    wanted = evaluate(classifier, embed(CUE), make_examples(20, 3))
    (ranked,) = ranking.ranked
    assert (ranked.accuracy, ranked.loss) == (pytest.approx(wanted.accuracy), pytest.approx(wanted.loss))
