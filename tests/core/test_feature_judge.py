"""Learned tokens are judged as the whole prompt that they stand in."""

import pytest
import torch

from pez_core import FeatureJudge, Match, PezError, SearchSettings

AROUND = SearchSettings(tokens=3, prefix="a photo of", suffix="on a table")


@pytest.fixture(scope="module")
def targets(contents):
    return contents.features[:4]


@pytest.fixture(scope="module")
def judge(encoder, targets):
    return FeatureJudge(encoder, Match(targets, batch=1), AROUND)


@pytest.fixture(scope="module")
def ids(encoder):
    return torch.tensor([encoder.vocabulary.encode(text) for text in ("red apple pie", "green pear tree")])


def whole(encoder, learned):
    """The text of learned ids with what stands around them."""
    return f"a photo of {encoder.vocabulary.decode(learned.tolist())} on a table"


def test_the_verdict_is_that_of_the_text_with_prefix_and_suffix_and_of_all_targets(encoder, judge, targets, ids):
    for generator in (None, torch.Generator().manual_seed(0)):
        verdict, _ = judge.with_gradient(ids, generator)
        texts = torch.cat([encoder.encode_text(whole(encoder, learned)) for learned in ids])
        assert torch.allclose(verdict.score, texts @ targets.mean(0), atol=1e-5)
        assert torch.equal(verdict.score, verdict.reported)


def test_the_gradient_is_that_of_one_minus_the_score_of_what_was_drawn(judge, targets, ids):
    embedded = judge.tower.embed(ids).requires_grad_(True)
    drawn = Match(targets, batch=1).score(judge.features(embedded), torch.Generator().manual_seed(1))
    (wanted,) = torch.autograd.grad((1 - drawn).sum(), embedded)
    _, gradient = judge.with_gradient(ids, torch.Generator().manual_seed(1))
    assert torch.allclose(gradient, wanted, atol=1e-6)
    _, of_all = judge.with_gradient(ids)
    assert of_all.shape == (2, 3, judge.tower.width) and not torch.allclose(of_all, gradient, atol=1e-6)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_swap_is_judged_as_the_prompt_that_it_makes(judge, ids, position):
    learned, tokens = tuple(ids[0].tolist()), ids[1]
    swapped = torch.tensor([learned] * 3)
    swapped[:, position] = tokens
    expected, _ = judge.with_gradient(swapped)
    found = judge.swaps(learned, position, tokens)
    assert torch.allclose(found.score, expected.score, atol=1e-5) and not found.score.requires_grad


def test_a_whole_prompt_is_judged_by_its_own_ids(encoder, judge, targets):
    tokens = encoder.vocabulary.encode("blue whale")
    assert judge.prompt(tokens).score.item() == pytest.approx(
        (encoder.encode_text("blue whale")[0] @ targets.mean(0)).item(), abs=1e-5
    )


def test_what_stands_around_is_known_by_its_ids(encoder, judge):
    assert judge.before == tuple(encoder.vocabulary.encode("a photo of"))
    assert judge.after == tuple(encoder.vocabulary.encode("on a table"))


def test_the_context_has_room_for_75_tokens_in_all(encoder, targets):
    around = {"prefix": "a photo of", "suffix": "on a table"}
    FeatureJudge(encoder, Match(targets), SearchSettings(tokens=69, **around))
    message = "^prefix, prompt length and suffix take 76 tokens together; shorten them to 75 or fewer"
    with pytest.raises(PezError, match=message):
        FeatureJudge(encoder, Match(targets), SearchSettings(tokens=70, **around))
