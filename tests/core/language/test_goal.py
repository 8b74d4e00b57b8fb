"""What learned ids are judged by: mini-batches, and a race for token swaps."""

import pytest
import torch

from pez_core.language.goal import FLUENCY_TEXTS, RACE_ROWS, RACERS_PER_WINNER, ROWS_TOGETHER, ClassificationGoal


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


def test_a_mini_batch_is_drawn_anew_from_all_rows_without_repeats(goal, task, examples):
    rows, generator = task.rows(examples(3 * RACE_ROWS, 1)), torch.Generator().manual_seed(0)
    batches = [goal.drawn(generator) for _ in range(40)]
    everything = list(zip(rows.heads, rows.labels))
    assert len({tuple(batch.heads) for batch in batches}) > 30
    for batch in batches:
        assert len(batch) == 4 and set(zip(batch.heads, batch.labels)) <= set(everything)
        assert len(set(batch.heads)) == 4
    assert {head for batch in batches for head in batch.heads} == set(rows.heads)
    assert goal.drawn(None) == rows


@pytest.mark.parametrize("batch", [3 * RACE_ROWS, 1000])
def test_a_mini_batch_of_all_rows_is_all_rows_in_their_order(task, examples, batch):
    rows = task.rows(examples(3 * RACE_ROWS, 1))
    assert ClassificationGoal(task, rows, batch, 0.0).drawn(torch.Generator().manual_seed(0)) == rows


def test_a_gradient_is_that_of_the_mini_batch_that_was_drawn(goal, swaps):
    ids = swapped(*swaps)[:3]
    judged, gradient = goal.judge_with_gradient(ids, torch.Generator().manual_seed(7))
    batch = goal.drawn(torch.Generator().manual_seed(7))
    assert torch.allclose(judged.score, goal.judge(ids, batch).score, atol=1e-5)
    assert torch.equal(judged.reported, goal.judge(ids, batch).reported)
    for place, alone in enumerate(ids):
        own = goal.judge_embedded(goal._task.model.embed(alone[None]), batch, alone[None])[1]
        assert torch.allclose(gradient[place], own[0], atol=1e-5)


def test_a_judgement_is_the_loss_and_the_share_that_is_right(goal, task, examples):
    rows = task.rows(examples(3 * RACE_ROWS, 1))
    ids = torch.tensor([task.prompt_ids("overall verdict"), task.prompt_ids("maybe green")])
    logs = task.scores(task.model.embed(ids), rows).classes.log_softmax(-1)
    labels = torch.tensor(rows.labels)
    judged = goal.judge(ids)
    assert torch.allclose(judged.score, logs[:, torch.arange(len(rows)), labels].mean(1), atol=1e-5)
    assert torch.allclose(judged.reported, (logs.argmax(-1) == labels).float().mean(1))
    assert judged.reported[0] > 0.9


def test_many_prompts_are_judged_in_parts_like_one_by_one(goal, task):
    tokens = task.model.vocabulary.allowed_ids("ascii words")[: 2 * (ROWS_TOGETHER // (3 * RACE_ROWS)) + 1]
    ids = torch.stack([tokens, tokens.flip(0)], 1)
    judged = goal.judge(ids)
    assert judged.score.shape == judged.reported.shape == (len(ids),)
    for place in (0, len(ids) // 2, len(ids) - 1):
        assert torch.allclose(judged.score[place], goal.judge(ids[place : place + 1]).score[0], atol=1e-5)


def test_no_more_rows_are_read_together_than_fit(task, examples, monkeypatch):
    sizes, real = [], task.scores
    monkeypatch.setattr(task, "scores", lambda embedded, *rest: sizes.append(len(embedded)) or real(embedded, *rest))
    ids = torch.tensor([task.prompt_ids("maybe green")]).repeat(12, 1)
    ClassificationGoal(task, task.rows(examples(ROWS_TOGETHER // 5, 1)), 4, 0.0).judge(ids)
    ClassificationGoal(task, task.rows(examples(ROWS_TOGETHER + 1, 1)), 4, 0.0).judge(ids[:2])
    assert sizes == [5, 5, 2, 1, 1]


def test_swaps_change_the_one_position(goal, swaps, monkeypatch):
    learned, tokens = swaps
    learned = [learned[0], int(tokens[0])]
    for position in (0, 1):
        wanted = torch.tensor([learned] * len(tokens))
        wanted[:, position] = tokens
        everything, raced = goal.judge(wanted), goal.judge(wanted, goal._rows.take(range(RACE_ROWS)))
        judged = goal.judge_swaps(learned, position, tokens)
        front = set(raced.score.argsort(descending=True)[:3].tolist())
        for place in range(len(tokens)):
            score, reported = (everything.score, everything.reported) if place in front else (None, raced.reported)
            wanted_score = float("-inf") if score is None else score[place].item()
            assert judged.score[place].item() == pytest.approx(wanted_score, abs=1e-5)
            assert judged.reported[place] == reported[place]


def test_a_race_is_over_the_first_rows_alone(goal, swaps, monkeypatch):
    read, real = [], goal._task.scores
    monkeypatch.setattr(
        goal._task,
        "scores",
        lambda embedded, rows, *rest: read.append((len(embedded), rows)) or real(embedded, rows, *rest),
    )
    goal.judge_swaps(swaps[0], 1, swaps[1])
    assert read == [(10, goal._rows.take(range(RACE_ROWS))), (3, goal._rows)]


def test_one_row_more_than_a_race_needs_is_a_race(task, examples, swaps):
    learned, tokens = swaps
    goal = ClassificationGoal(task, task.rows(examples(RACE_ROWS + 1, 1)), 4, 0.0)
    assert not torch.isfinite(goal.judge_swaps(learned, 1, tokens).score).all()


@pytest.mark.parametrize("weight", [0.25, 0.9])
def test_fluency_weighs_the_surprise_of_the_prompt_against_the_task(task, examples, swaps, weight):
    ids, rows = swapped(*swaps)[:2], task.rows(examples(6, 1))
    scores = task.scores(task.model.embed(ids), rows, ids, FLUENCY_TEXTS)
    loss = (1 - weight) * scores.loss(torch.tensor(rows.labels)) + weight * scores.surprise
    fluent = ClassificationGoal(task, rows, 6, weight)
    assert torch.allclose(fluent.judge(ids).score, -loss, atol=1e-5)
    assert torch.allclose(fluent.judge_with_gradient(ids)[0].score, -loss, atol=1e-5)


def test_the_gradient_of_fluency_prefers_the_token_that_would_have_been_expected(task, examples):
    """To first order, the last token's own part of the gradient is how much less a token surprises."""
    rows = task.rows(examples(FLUENCY_TEXTS, 1))
    ids = torch.tensor([task.prompt_ids("overall window")])
    gradients = [ClassificationGoal(task, rows, 9, weight).judge_with_gradient(ids)[1] for weight in (0.0, 0.5)]
    fluent = 2 * gradients[1] - gradients[0]
    model, states = task.model, []
    for head in rows.heads:
        whole = torch.tensor([[*head, *ids[0].tolist()]])
        states.append(model.transformers_model(whole, output_hidden_states=True).hidden_states[-1][0, -2])
    assert torch.allclose(fluent[0, -1], -torch.stack(states).mean(0) / 2, atol=1e-4)
    verdict = model.vocabulary.encode(" verdict")[0]
    gains = -(model.embeddings @ fluent[0, -1])
    assert gains.argmax().item() == verdict
