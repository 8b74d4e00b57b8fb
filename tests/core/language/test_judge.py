"""What learned ids are judged by: mini-batches, and a race for token swaps."""

import pytest
import torch

from pez_core.language.judge import (
    EXAMPLES_TOGETHER,
    FLUENCY_TEXTS,
    RACE_EXAMPLES,
    RACERS_PER_WINNER,
    ClassificationJudge,
)


@pytest.fixture
def judge(classifier, make_examples):
    return ClassificationJudge(classifier, classifier.tokenised(make_examples(3 * RACE_EXAMPLES, 1), 2), 4, 0.0)


@pytest.fixture
def swaps(classifier):
    """A prompt of two tokens, and ten tokens for its second place."""
    first, *tokens = classifier.model.vocabulary.allowed_ids("ascii words")[:11].tolist()
    return [first, first], torch.tensor(tokens)


def swapped(learned, tokens):
    return torch.tensor([[learned[0], token] for token in tokens.tolist()])


def test_the_front_of_a_race_is_judged_by_all_examples_and_the_others_are_beaten(judge, swaps):
    learned, tokens = swaps
    verdict, everything = judge.swaps(learned, 1, tokens), judge.verdict(swapped(learned, tokens))
    front = torch.isfinite(verdict.score)
    assert front.sum() == -(-len(tokens) // RACERS_PER_WINNER)
    assert torch.allclose(verdict.score[front], everything.score[front], atol=1e-5)
    assert torch.equal(verdict.reported[front], everything.reported[front])


def test_few_examples_are_no_race(classifier, make_examples, swaps):
    learned, tokens = swaps
    judge = ClassificationJudge(classifier, classifier.tokenised(make_examples(RACE_EXAMPLES, 1), 2), 4, 0.0)
    verdict, everything = judge.swaps(learned, 1, tokens), judge.verdict(swapped(learned, tokens))
    assert torch.allclose(verdict.score, everything.score, atol=1e-5)


def test_a_gradient_comes_from_a_mini_batch_and_a_verdict_without_one_from_all_examples(judge, swaps):
    ids = swapped(*swaps)[:1]
    drawn, _ = judge.with_gradient(ids, torch.Generator().manual_seed(0))
    whole, gradient = judge.with_gradient(ids)
    assert gradient.shape == (1, 2, 64)
    assert torch.allclose(whole.score, judge.verdict(ids).score, atol=1e-5)
    assert not torch.allclose(drawn.score, whole.score, atol=1e-5)


def test_a_mini_batch_is_drawn_anew_from_all_examples_without_repeats(judge, classifier, make_examples):
    examples, generator = classifier.tokenised(make_examples(3 * RACE_EXAMPLES, 1), 2), torch.Generator().manual_seed(0)
    batches = [judge.drawn(generator) for _ in range(40)]
    everything = set(zip(examples.heads, examples.labels))
    assert len({tuple(batch.heads) for batch in batches}) > 30
    for batch in batches:
        assert len(batch) == 4 and set(zip(batch.heads, batch.labels)) <= everything
        assert len(set(batch.heads)) == 4
    assert {head for batch in batches for head in batch.heads} == set(examples.heads)
    assert judge.drawn(None) == examples


@pytest.mark.parametrize("batch", [3 * RACE_EXAMPLES, 1000])
def test_a_mini_batch_of_all_examples_is_all_examples_in_their_order(classifier, make_examples, batch):
    examples = classifier.tokenised(make_examples(3 * RACE_EXAMPLES, 1), 2)
    assert ClassificationJudge(classifier, examples, batch, 0.0).drawn(torch.Generator().manual_seed(0)) == examples


def test_a_gradient_is_that_of_the_mini_batch_that_was_drawn(judge, swaps):
    ids = swapped(*swaps)[:3]
    verdict, gradient = judge.with_gradient(ids, torch.Generator().manual_seed(7))
    batch = judge.drawn(torch.Generator().manual_seed(7))
    assert torch.allclose(verdict.score, judge.verdict(ids, batch).score, atol=1e-5)
    assert torch.equal(verdict.reported, judge.verdict(ids, batch).reported)
    for place, alone in enumerate(ids):
        own = judge.embedded_with_gradient(judge._classifier.model.embed(alone[None]), batch, alone[None])[1]
        assert torch.allclose(gradient[place], own[0], atol=1e-5)


def test_a_verdict_is_the_loss_and_the_share_that_is_right(judge, classifier, make_examples):
    examples = classifier.tokenised(make_examples(3 * RACE_EXAMPLES, 1), 2)
    ids = torch.tensor([classifier.prompt_ids("overall verdict"), classifier.prompt_ids("maybe green")])
    logs = classifier.scores(classifier.model.embed(ids), examples).classes.log_softmax(-1)
    labels = torch.tensor(examples.labels)
    verdict = judge.verdict(ids)
    assert torch.allclose(verdict.score, logs[:, torch.arange(len(examples)), labels].mean(1), atol=1e-5)
    assert torch.allclose(verdict.reported, (logs.argmax(-1) == labels).float().mean(1))
    assert verdict.reported[0] > 0.9


def test_many_prompts_are_judged_in_parts_like_one_by_one(judge, classifier):
    tokens = classifier.model.vocabulary.allowed_ids("ascii words")[
        : 2 * (EXAMPLES_TOGETHER // (3 * RACE_EXAMPLES)) + 1
    ]
    ids = torch.stack([tokens, tokens.flip(0)], 1)
    verdict = judge.verdict(ids)
    assert verdict.score.shape == verdict.reported.shape == (len(ids),)
    for place in (0, len(ids) // 2, len(ids) - 1):
        assert torch.allclose(verdict.score[place], judge.verdict(ids[place : place + 1]).score[0], atol=1e-5)


def test_no_more_examples_are_read_together_than_fit(classifier, make_examples, monkeypatch):
    sizes, real = [], classifier.scores
    monkeypatch.setattr(
        classifier, "scores", lambda embedded, *rest: sizes.append(len(embedded)) or real(embedded, *rest)
    )
    ids = torch.tensor([classifier.prompt_ids("maybe green")]).repeat(12, 1)
    few, many = (
        ClassificationJudge(classifier, classifier.tokenised(make_examples(count, 1), 2), 4, 0.0)
        for count in (EXAMPLES_TOGETHER // 5, EXAMPLES_TOGETHER + 1)
    )
    few.verdict(ids)
    many.verdict(ids[:2])
    assert sizes == [5, 5, 2, 1, 1]


def test_swaps_change_the_one_position(judge, swaps, monkeypatch):
    learned, tokens = swaps
    learned = [learned[0], int(tokens[0])]
    for position in (0, 1):
        wanted = torch.tensor([learned] * len(tokens))
        wanted[:, position] = tokens
        everything, raced = judge.verdict(wanted), judge.verdict(wanted, judge._examples.take(range(RACE_EXAMPLES)))
        verdict = judge.swaps(learned, position, tokens)
        front = set(raced.score.argsort(descending=True)[:3].tolist())
        for place in range(len(tokens)):
            score, reported = (everything.score, everything.reported) if place in front else (None, raced.reported)
            wanted_score = float("-inf") if score is None else score[place].item()
            assert verdict.score[place].item() == pytest.approx(wanted_score, abs=1e-5)
            assert verdict.reported[place] == reported[place]


def test_a_race_is_over_the_first_examples_alone(judge, swaps, monkeypatch):
    read, real = [], judge._classifier.scores
    monkeypatch.setattr(
        judge._classifier,
        "scores",
        lambda embedded, some, *rest: read.append((len(embedded), some)) or real(embedded, some, *rest),
    )
    judge.swaps(swaps[0], 1, swaps[1])
    assert read == [(10, judge._examples.take(range(RACE_EXAMPLES))), (3, judge._examples)]


def test_one_example_more_than_a_race_needs_is_a_race(classifier, make_examples, swaps):
    learned, tokens = swaps
    judge = ClassificationJudge(classifier, classifier.tokenised(make_examples(RACE_EXAMPLES + 1, 1), 2), 4, 0.0)
    assert not torch.isfinite(judge.swaps(learned, 1, tokens).score).all()


@pytest.mark.parametrize("weight", [0.25, 0.9])
def test_fluency_weighs_the_surprise_of_the_prompt_against_the_task(classifier, make_examples, swaps, weight):
    ids, examples = swapped(*swaps)[:2], classifier.tokenised(make_examples(6, 1), 2)
    scores = classifier.scores(classifier.model.embed(ids), examples, ids, FLUENCY_TEXTS)
    loss = (1 - weight) * scores.loss(torch.tensor(examples.labels)) + weight * scores.surprise
    fluent = ClassificationJudge(classifier, examples, 6, weight)
    assert torch.allclose(fluent.verdict(ids).score, -loss, atol=1e-5)
    assert torch.allclose(fluent.with_gradient(ids)[0].score, -loss, atol=1e-5)


def test_the_gradient_of_fluency_prefers_the_token_that_would_have_been_expected(classifier, make_examples):
    """To first order, the last token's own part of the gradient is how much less a token surprises."""
    examples = classifier.tokenised(make_examples(FLUENCY_TEXTS, 1), 2)
    ids = torch.tensor([classifier.prompt_ids("overall window")])
    gradients = [ClassificationJudge(classifier, examples, 9, weight).with_gradient(ids)[1] for weight in (0.0, 0.5)]
    fluent = 2 * gradients[1] - gradients[0]
    model, states = classifier.model, []
    for head in examples.heads:
        whole = torch.tensor([[*head, *ids[0].tolist()]])
        states.append(model.transformers_model(whole, output_hidden_states=True).hidden_states[-1][0, -2])
    assert torch.allclose(fluent[0, -1], -torch.stack(states).mean(0) / 2, atol=1e-4)
    verdict = model.vocabulary.encode(" verdict")[0]
    gains = -(model.embeddings @ fluent[0, -1])
    assert gains.argmax().item() == verdict
