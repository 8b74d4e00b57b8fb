"""Objectives: attract, repel, mini-batches, and what is refused."""

import pytest
import torch

from pez_core import PezError
from pez_core.objectives import Match, WeightedSum, unit

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


def test_a_negative_weight_repels_and_stays_out_of_the_similarity():
    both = WeightedSum([(1.0, Match(targets[:3])), (-0.5, Match(targets[3:]))])
    near, far = Match(targets[:3]).score(features), Match(targets[3:]).score(features)
    assert torch.allclose(both.score(features), near - 0.5 * far, atol=1e-6)
    assert torch.allclose(both.similarity(features), near, atol=1e-6)


def test_no_targets_and_nan_are_refused():
    with pytest.raises(PezError, match="targets are empty"):
        Match(targets[:0])
    with pytest.raises(PezError, match="NaN"):
        Match(targets * float("nan"))
