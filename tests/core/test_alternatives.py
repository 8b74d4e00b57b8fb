"""Alternatives: the best text of every candidate, as far as they differ from better ones."""

from functools import partial

import pytest
from offers import offer_of

from pez_core import SearchSettings, tasks
from pez_core.alternatives import Leaders
from pez_core.best import Best
from pez_core.feature_judge import FeatureJudge
from pez_core.objectives import Match


@pytest.fixture
def another_best(encoder, contents):
    settings = SearchSettings(language=0, tokens=2, blocklist=("plum",))
    return partial(Best, FeatureJudge(encoder, Match(contents.features[:1]), settings), encoder.vocabulary, settings)


@pytest.fixture
def offered(encoder):
    """An offer of one text for each candidate, with the scores that the judge would give."""

    def offer(*texts, scores):
        return offer_of([encoder.vocabulary.encode(text) for text in texts], scores, scores)

    return offer


def texts(leaders, another_best, offer):
    best = another_best()
    best.consider(offer)
    return leaders.texts(best, another_best)


def test_every_candidate_gives_its_own_best_in_order_of_score(another_best, offered):
    leaders = Leaders()
    leaders.follow(offered("red apple", "green pear", "blue moon", scores=[0.2, 0.5, 0.3]))
    leaders.follow(offered("white cat", "old boat", "dark sun", scores=[0.4, 0.1, 0.9]))
    best = offered("dark sun", scores=[0.9])
    assert texts(leaders, another_best, best) == ("green pear", "white cat")


def test_what_shares_more_than_half_of_its_tokens_with_a_better_one_is_left_out(another_best, offered):
    leaders = Leaders()
    leaders.follow(offered("red apple", "apple red", "red pear", "apple pear", scores=[0.9, 0.8, 0.7, 0.6]))
    assert texts(leaders, another_best, offered("red apple", scores=[0.9])) == ("red pear", "apple pear")


def test_blocked_texts_and_scores_that_are_no_numbers_give_none(another_best, offered):
    leaders = Leaders()
    leaders.follow(offered("red apple", "blue plum", "dark sun", scores=[0.9, 0.8, float("nan")]))
    best = offered("red apple", scores=[0.9])
    assert texts(leaders, another_best, best) == ()
    leaders.follow(offered("red apple", "blue plum", "old boat", scores=[0.1, 0.1, 0.2]))
    assert texts(leaders, another_best, best) == ("old boat",)


def test_of_fewer_candidates_the_first_go_on_and_the_others_keep_what_they_had(another_best, offered):
    leaders = Leaders()
    leaders.follow(offered("red apple", "green pear", "blue moon", scores=[0.2, 0.3, 0.5]))
    leaders.follow(offered("white cat", scores=[0.4]))
    assert texts(leaders, another_best, offered("blue moon", scores=[0.5])) == ("white cat", "green pear")


def test_what_is_offered_may_be_overwritten_afterwards(another_best, offered):
    leaders, offer = Leaders(), offered("red apple", "green pear", scores=[0.2, 0.1])
    leaders.follow(offer)
    offer.ids.zero_()
    assert texts(leaders, another_best, offered("blue moon", scores=[0.5])) == ("red apple", "green pear")


def test_a_search_gives_at_most_one_for_each_candidate_and_one_candidate_gives_none(encoder, contents):
    settings = SearchSettings(language=0, tokens=4, steps=30, candidates=4)
    found = tasks.invert(encoder, contents.features[:1], settings)
    assert 1 <= len(found.alternatives) <= 4
    assert len({found.text, *found.alternatives}) == 1 + len(found.alternatives)
    similar = [(encoder.encode_text(text) @ contents.features[0]).item() for text in found.alternatives]
    assert similar == sorted(similar, reverse=True) and similar[0] <= found.similarity + 1e-6
    alone = tasks.invert(
        encoder, contents.features[:1], SearchSettings(language=0, tokens=4, steps=30, candidates=1, refinement=0)
    )
    assert alone.alternatives == ()
