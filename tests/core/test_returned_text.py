"""What the returned text must not hold: blocked phrases, wherever they come from, and prompt syntax."""

from dataclasses import replace

import pytest
from offers import offer_of

from pez_core import PezError, SearchSettings, invert
from pez_core.best import Best
from pez_core.feature_judge import FeatureJudge
from pez_core.objectives import Match
from pez_core.vocabulary import blocked_phrases

SETTINGS = SearchSettings(tokens=2)


def best(encoder, contents, **changes):
    settings = replace(SETTINGS, **changes)
    judge = FeatureJudge(encoder, Match(contents.features[:1]), settings)
    return Best(judge, encoder.vocabulary, settings)


def offered(best, vocabulary, *texts):
    """Texts of two tokens, the first the best by far."""
    ids = [vocabulary.encode(text) for text in texts]
    assert all(len(row) == 2 for row in ids)
    best.consider(offer_of(ids, [1.0 - place / 10 for place in range(len(ids))], [0.0] * len(ids)))
    return best.text


@pytest.mark.parametrize(
    ("around", "phrase"),
    [
        ({"prefix": "a hot"}, "hot dog"),
        ({"suffix": "fish"}, "rocket fish"),
        ({"prefix": "so", "suffix": "fish"}, "so dog rocket fish"),
    ],
)
def test_a_phrase_is_blocked_across_prefix_and_suffix(encoder, contents, around, phrase):
    vocabulary = encoder.vocabulary
    assert phrase in offered(best(encoder, contents, **around), vocabulary, "dog rocket", "cat onion")
    found = offered(best(encoder, contents, blocklist=(phrase,), **around), vocabulary, "dog rocket", "cat onion")
    assert "cat onion" in found


def test_a_search_never_returns_a_phrase_that_its_prefix_begins(encoder, contents):
    settings = SearchSettings(
        language=0, tokens=3, steps=15, candidates=2, refinement=0.4, seed=5, prefix="a drawing of"
    )
    free = invert(encoder, contents.features[:1], settings).text
    first = free.removeprefix("a drawing of ").split()[0]
    phrase = f"of {first}"
    found = invert(encoder, contents.features[:1], replace(settings, blocklist=(phrase,))).text
    assert blocked_phrases([phrase]).search(free) and not blocked_phrases([phrase]).search(found)


@pytest.mark.parametrize("name", ["prefix", "suffix"])
def test_a_prefix_that_is_itself_blocked_is_refused(encoder, contents, name):
    with pytest.raises(PezError, match=f"^{name} holds 'Red', which the blocklist forbids; take it out of one of them"):
        invert(encoder, contents.features[:1], replace(SETTINGS, blocklist=("red",), **{name: "a Red thing"}))


def test_plurals_of_blocked_words_do_not_come_through(encoder, contents):
    found = offered(best(encoder, contents, blocklist=("rocket",)), encoder.vocabulary, "red rockets", "cat onion")
    assert found == "cat onion"


def test_fragments_do_not_spell_an_embedding(encoder, contents):
    """Only fragments can: words have spaces between them."""
    pieces = [encoder.vocabulary._tokenizer.encoder[piece] for piece in ("embed", "ding", ":", "bad</w>")]
    assert encoder.vocabulary.decode(pieces) == "embedding:bad"
    keeper = best(encoder, contents, tokens=4, token_filter="all")
    keeper.consider(offer_of([pieces], [1.0], [0.0]))
    assert keeper.text == ""
