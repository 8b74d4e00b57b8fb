"""What learned ids are judged by: mini-batches, and a race for token swaps."""

import pytest
import torch

from pez_core.language.goal import RACE_ROWS, RACERS_PER_WINNER, ClassificationGoal


@pytest.fixture
def goal(task, examples):
    return ClassificationGoal(task, task.rows(examples(3 * RACE_ROWS, 1)), 4, 0.0)


@pytest.fixture
def swaps(task):
    """A prompt of two tokens, and ten tokens for its second place."""
    first, *tokens = task.model.vocabulary.allowed_ids("ascii words")[:11].tolist()
    return [first, first], torch.tensor(tokens)


def swapped(learned, tokens):
    return torch.tensor([[learned[0], token] for token in tokens.tolist()])


def test_the_front_of_a_race_is_judged_by_all_rows_and_the_others_are_beaten(goal, swaps):
    learned, tokens = swaps
    judged, everything = goal.judge_swaps(learned, 1, tokens), goal.judge(swapped(learned, tokens))
    front = torch.isfinite(judged.score)
    assert front.sum() == -(-len(tokens) // RACERS_PER_WINNER)
    assert torch.allclose(judged.score[front], everything.score[front], atol=1e-5)
    assert torch.equal(judged.reported[front], everything.reported[front])


def test_few_rows_are_no_race(task, examples, swaps):
    learned, tokens = swaps
    goal = ClassificationGoal(task, task.rows(examples(RACE_ROWS, 1)), 4, 0.0)
    judged, everything = goal.judge_swaps(learned, 1, tokens), goal.judge(swapped(learned, tokens))
    assert torch.allclose(judged.score, everything.score, atol=1e-5)


def test_a_gradient_comes_from_a_mini_batch_and_a_judgement_without_one_from_all_rows(goal, swaps):
    ids = swapped(*swaps)[:1]
    drawn, _ = goal.judge_with_gradient(ids, torch.Generator().manual_seed(0))
    whole, gradient = goal.judge_with_gradient(ids)
    assert gradient.shape == (1, 2, 64)
    assert torch.allclose(whole.score, goal.judge(ids).score, atol=1e-5)
    assert not torch.allclose(drawn.score, whole.score, atol=1e-5)
