"""The interrogator: phrases put together for as long as they raise the similarity."""

import json

import pytest

from benchmarks.interrogator import PHRASES, Interrogator


@pytest.fixture(scope="module")
def interrogator(encoder):
    return Interrogator.load(encoder)


def similarity(encoder, text, target):
    return (encoder.encode_text(text)[0] @ target).item()


def test_it_uses_given_phrases_alone(interrogator, contents):
    kinds = json.loads(PHRASES.read_text(encoding="utf-8"))
    text = interrogator.prompt(contents.features[0], 60, 10)
    for phrase in sorted((phrase for kind in kinds.values() for phrase in kind), key=len, reverse=True):
        text = text.replace(phrase, "")
    assert text.strip() == ""


def test_it_is_no_less_similar_than_the_best_noun_alone(encoder, interrogator, contents):
    for target in contents.features[:3]:
        best = (interrogator.noun_features @ target).max().item()
        assert similarity(encoder, interrogator.prompt(target, 60), target) > best


def test_it_keeps_to_the_length_and_a_longer_one_is_no_worse(encoder, interrogator, contents):
    target = contents.features[1]
    short, long = (interrogator.prompt(target, 60, longest) for longest in (4, None))
    assert len(encoder.vocabulary.encode(short)) <= 4
    assert similarity(encoder, short, target) <= similarity(encoder, long, target)


def test_without_time_it_says_nothing(interrogator, contents):
    assert interrogator.prompt(contents.features[0], 0.0) == ""


def test_the_true_phrases_are_found_where_they_are_what_is_sought(encoder, interrogator):
    target = encoder.encode_text("strawberry glossy drawing")[0]
    assert similarity(encoder, interrogator.prompt(target, 60), target) > 0.95
