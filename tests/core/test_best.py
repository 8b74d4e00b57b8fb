"""The best text: judged as it reads back, never with a blocked phrase, never worse."""

from __future__ import annotations

import pytest
import torch
from offers import offer_of

from pez_core import PezError, SearchSettings
from pez_core.best import Best
from pez_core.feature_judge import FeatureJudge
from pez_core.objectives import Match
from pez_core.optimiser.judge import Offer


def made(encoder, target, **changes):
    settings = SearchSettings(**{"tokens": 2, **changes})
    judge = FeatureJudge(encoder, Match(target), settings)
    return judge, Best(judge, encoder.vocabulary, settings)


@pytest.fixture(scope="module")
def target(contents):
    return contents.features[:1]


def ids_of(encoder, *texts):
    return [encoder.vocabulary.encode(text) for text in texts]


def similarity_of(encoder, target, text):
    return pytest.approx((encoder.encode_text(text) @ target[0]).item(), abs=1e-5)


def test_before_the_first_text_there_is_none(encoder, target):
    _, best = made(encoder, target)
    assert (best.text, best.tokens, best.learned) == ("", (), ())
    assert best.similarity == -1 and best.score == float("-inf")


def test_the_highest_score_is_kept_and_a_lower_or_equal_one_changes_nothing(encoder, target):
    _, best = made(encoder, target)
    best.consider(offer_of(ids_of(encoder, "red apple", "green pear", "blue plum"), [0.2, 0.5, 0.3], [0.1, 0.4, 0.2]))
    assert (best.text, best.score, best.similarity) == ("green pear", 0.5, 0.4)
    best.consider(offer_of(ids_of(encoder, "red apple", "blue plum"), [0.4, 0.5], [0.9, 0.9]))
    assert (best.text, best.score, best.similarity) == ("green pear", 0.5, 0.4)
    best.consider(offer_of(ids_of(encoder, "red apple"), [0.6], [0.3]))
    assert (best.text, best.score, best.similarity) == ("red apple", 0.6, 0.3)
    assert best.learned == best.tokens == tuple(encoder.vocabulary.encode("red apple"))


def test_scores_that_are_no_numbers_are_passed_over_and_named_when_there_is_nothing_else(encoder, target):
    nan = float("nan")
    _, best = made(encoder, target)
    with pytest.raises(PezError, match=r"^model 'embedded' gives NaN for text; check its file, or load it in fp32\.$"):
        best.consider(offer_of(ids_of(encoder, "red apple", "green pear"), [nan, nan], [0.1, 0.2]))
    best.consider(offer_of(ids_of(encoder, "red apple", "green pear", "blue plum"), [nan, 0.3, 0.2], [0.9, nan, 0.2]))
    assert (best.text, best.score) == ("green pear", 0.3)
    best.consider(offer_of(ids_of(encoder, "red apple"), [nan], [nan]))
    assert (best.text, best.score) == ("green pear", 0.3)


@pytest.mark.parametrize("phrase", ["ice cream", "Ice  CREAM", "cream"])
def test_a_text_with_a_blocked_phrase_is_passed_over_for_the_next_best(encoder, target, phrase):
    _, best = made(encoder, target, blocklist=(phrase,))
    best.consider(offer_of(ids_of(encoder, "ice cream", "cream ice", "red apple"), [0.9, 0.8, 0.1], [0.9, 0.8, 0.1]))
    expected = "red apple" if phrase == "cream" else "cream ice"
    assert best.text == expected


def split(encoder, *pieces):
    """Ids of pieces that stand without a space after them: their text reads back as other ids."""
    texts, words = encoder.vocabulary.texts, encoder.vocabulary.words
    return [
        next(token for token in range(len(texts)) if texts[token] == piece and token not in words) for piece in pieces
    ]


def test_ids_that_read_back_as_others_are_judged_as_they_read_back(encoder, target):
    judge, best = made(encoder, target)
    learned = [split(encoder, "sun")[0], *encoder.vocabulary.encode("flower")]
    best.consider(offer_of([learned], [0.9], [0.9]))
    assert best.text == "sunflower" and best.tokens == tuple(encoder.vocabulary.encode("sunflower")) != tuple(learned)
    assert best.learned == tuple(learned)
    assert best.similarity == best.score == similarity_of(encoder, target, "sunflower")
    assert best.score == pytest.approx(judge.prompt(best.tokens).score.item())


def test_what_reads_back_worse_than_the_best_is_not_kept(encoder, target):
    _, best = made(encoder, target)
    best.consider(offer_of(ids_of(encoder, "red apple"), [0.8], [0.8]))
    best.consider(offer_of([[split(encoder, "sun")[0], *encoder.vocabulary.encode("flower")]], [0.9], [0.9]))
    assert (best.text, best.score) == ("red apple", 0.8)


def test_a_text_that_reads_back_as_more_tokens_than_were_asked_for_is_passed_over(encoder, target):
    vocabulary = encoder.vocabulary
    longer = next(token for token, text in enumerate(vocabulary.texts) if text and len(vocabulary.encode(text)) > 1)
    _, best = made(encoder, target, tokens=1)
    best.consider(offer_of([[longer]], [0.9], [0.9]))
    assert best.text == ""


def test_prefix_and_suffix_stand_around_what_was_learned_and_count(encoder, target):
    judge, best = made(encoder, target, prefix=" A Photo of ", suffix="on a table ")
    ids = torch.tensor(ids_of(encoder, "red apple"))
    verdict, _ = judge.with_gradient(ids)
    best.consider(Offer(ids, verdict))
    assert best.text == "A Photo of red apple on a table"
    assert best.tokens == tuple(encoder.vocabulary.encode(best.text))
    assert best.learned == tuple(encoder.vocabulary.encode("red apple"))
    assert best.similarity == similarity_of(encoder, target, best.text)


def test_ids_that_spell_no_text_are_passed_over(encoder, target):
    texts = encoder.vocabulary.texts
    nothing = next(
        token for token, text in enumerate(texts) if text is not None and not encoder.vocabulary.encode(text)
    )
    _, best = made(encoder, target, tokens=1)
    best.consider(offer_of([[nothing]], [0.9], [0.9]))
    assert best.text == ""


def test_other_ids_of_the_same_text_change_nothing(encoder, target):
    _, best = made(encoder, target)
    score = (encoder.encode_text("sunflower") @ target[0]).item()
    best.consider(offer_of([encoder.vocabulary.encode("sunflower")], [score], [score]))
    kept = best.learned
    best.score = best._judge.prompt(best.tokens).score.item()
    best.consider(offer_of([[split(encoder, "sun")[0], *encoder.vocabulary.encode("flower")]], [0.9], [0.9]))
    assert best.learned == kept


def test_only_what_could_win_is_read_back_and_once_only(encoder, target, monkeypatch):
    read = []

    def counted(vocabulary, text):
        read.append(text)
        return encode(vocabulary, text)

    _, best = made(encoder, target, blocklist=("cream",))
    encode = type(encoder.vocabulary).encode
    offered = ids_of(encoder, "red apple", "ice cream", "green pear", "blue plum")
    monkeypatch.setattr(type(encoder.vocabulary), "encode", counted)
    best.consider(offer_of(offered, [0.4, 0.9, 0.7, 0.5], [0.4, 0.9, 0.7, 0.5]))
    assert read == ["ice cream", "green pear"]
    best.consider(offer_of(offered, [0.4, 0.9, 0.7, 0.7], [0.4, 0.9, 0.7, 0.7]))
    assert read == ["ice cream", "green pear"]
