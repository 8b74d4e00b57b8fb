"""Objectives: attract, repel, mini-batches, and what is refused."""

import pytest
import torch

from pez_core import PezError
from pez_core.encoders.tower import unit
from pez_core.objectives import Match, WeightedSum

generator = torch.Generator().manual_seed(0)
targets = unit(torch.randn(6, 16, generator=generator))
features = unit(torch.randn(3, 16, generator=generator))


def test_match_is_the_mean_cosine_to_all_targets():
    assert torch.allclose(Match(targets).score(features), (features @ targets.T).mean(1), atol=1e-6)


def test_a_mini_batch_is_drawn_per_step_but_similarity_counts_every_target():
    match = Match(targets, batch=2)
    draws = torch.Generator().manual_seed(1)
    assert not torch.allclose(match.score(features, draws), match.score(features, draws))
    assert torch.allclose(match.similarity(features), (features @ targets.T).mean(1), atol=1e-6)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_a_mini_batch_is_the_mean_of_so_many_different_targets_and_all_get_their_turn(batch):
    """Six targets at right angles: the score of each says its share in what was drawn."""
    axes, draws = torch.eye(6), torch.Generator().manual_seed(1)
    match, drawn = Match(axes, batch), torch.zeros(6)
    for _ in range(60):
        shares = match.score(axes, draws)
        assert sorted(shares.tolist()) == pytest.approx([0.0] * (6 - batch) + [1 / batch] * batch)
        drawn += shares > 0
    assert (drawn > 0).all() and drawn.sum() == 60 * batch


@pytest.mark.parametrize("batch", [None, 6, 7])
def test_without_a_mini_batch_or_with_one_of_all_every_step_sees_every_target(batch):
    axes, draws = torch.eye(6), torch.Generator()
    untouched = draws.get_state()
    assert torch.allclose(Match(axes, batch).score(axes, draws), torch.full((6,), 1 / 6))
    assert torch.equal(draws.get_state(), untouched)


def test_mini_batches_are_drawn_from_the_generator_that_is_given_and_on_the_device_of_the_targets():
    match = Match(targets, batch=2)
    for objective in (match, WeightedSum([(2.0, match), (-0.5, match)])):
        first, again = (objective.score(features, torch.Generator().manual_seed(7)) for _ in range(2))
        assert torch.equal(first, again)
        draws = torch.Generator().manual_seed(7)
        drawn = torch.stack([objective.score(features, draws) for _ in range(20)])
        assert len(drawn.unique(dim=0)) > 5
    expected = match.score(features, torch.Generator().manual_seed(7))
    seeded = torch.Generator().manual_seed(7)
    with torch.device("meta"):
        found = match.score(features, seeded)
    assert torch.equal(found, expected)


def test_a_negative_weight_repels_and_stays_out_of_the_similarity():
    both = WeightedSum([(1.0, Match(targets[:3])), (-0.5, Match(targets[3:]))])
    near, far = Match(targets[:3]).score(features), Match(targets[3:]).score(features)
    assert torch.allclose(both.score(features), near - 0.5 * far, atol=1e-6)
    assert torch.allclose(both.similarity(features), near, atol=1e-6)


def test_the_similarity_to_several_is_their_mean_by_weight():
    both = WeightedSum([(3.0, Match(targets[:3])), (1.0, Match(targets[3:])), (-2.0, Match(targets[:1]))])
    first, second = Match(targets[:3]).score(features), Match(targets[3:]).score(features)
    assert torch.allclose(both.similarity(features), (3 * first + second) / 4, atol=1e-6)


def test_no_targets_and_nan_are_refused():
    for empty in (targets[:0], targets[0]):
        with pytest.raises(PezError, match=r"^targets are empty; give at least one picture or text\.$"):
            Match(empty)
    for broken in (float("nan"), float("inf")):
        with pytest.raises(PezError, match=r"^targets hold NaN or infinite features; check the picture and the model"):
            Match(torch.cat([targets, targets[:1] * broken]))


def test_unit_features_are_of_length_1_each_and_in_single_precision():
    several = torch.tensor([[3.0, 4.0], [0.0, -2.0]], dtype=torch.float16)
    assert torch.allclose(unit(several), torch.tensor([[0.6, 0.8], [0.0, -1.0]]))
    assert unit(several).dtype == torch.float32
    assert torch.allclose(unit(several.expand(5, 2, 2)).norm(dim=-1), torch.ones(5, 2))
