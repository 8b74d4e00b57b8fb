"""What each token of a prompt is worth."""

import pytest

from pez_core import SearchSettings, invert, score
from pez_core.contributions import contributions
from pez_core.objectives import Match


def test_a_contribution_is_the_similarity_lost_without_the_token(encoder, contents):
    target = contents.features[:1]
    ids = encoder.vocabulary.encode("glossy red rescue helmet")
    found = contributions(encoder, ids, Match(target))
    assert [piece.text for piece in found] == ["glossy", "red", "rescue", "helmet"]
    whole = (encoder.encode_text("glossy red rescue helmet") @ target.T).item()
    without = (encoder.encode_text("glossy red helmet") @ target.T).item()
    assert found[2].contribution == pytest.approx(whole - without, abs=1e-5)


def test_every_result_has_a_piece_for_each_token(encoder, contents):
    found = invert(
        encoder, contents.features[:1], SearchSettings(language=0, tokens=5, steps=5, candidates=1, refinement=0)
    )
    assert len(found.pieces) == len(found.tokens)
    assert [piece.text for piece in found.pieces] == found.text.split()
    alone = score(encoder, "helmet", contents.features[:1])
    nothing = (encoder.tower.encode_ids([[]]) @ contents.features[0]).item()
    assert alone.pieces[0].contribution == pytest.approx(alone.similarity - nothing, abs=1e-5)


def test_of_a_long_text_the_tokens_that_are_read_are_judged(encoder, contents):
    found = score(encoder, "red helmet " * 50, contents.features[:1])
    assert len(found.tokens) == 100 and len(found.pieces) == 75
