"""Evaluation: by the text itself, raw and with the class prior taken out."""

import math

import pytest
import torch

from pez_core import PezError
from pez_core.language import evaluate, transfer
from pez_core.language.data import Examples
from pez_core.language.evaluation import CONTENT_FREE, PERPLEXITY_TEXTS, TOGETHER, class_scores


def test_the_cue_tells_classes_apart_and_the_template_does_not(task, examples):
    held_out = examples(60, 11)
    assert evaluate(task, "overall verdict", held_out).accuracy > evaluate(task, "", held_out).accuracy + 0.2


PROMPTS = ("", "maybe", "verdict", "overall great", "verdict great", "verdict terrible")


@pytest.mark.parametrize("prompt", PROMPTS)
def test_calibration_divides_out_what_texts_without_content_get(task, examples, prompt):
    held_out = examples(60, 12)
    scores, labels = class_scores(task, prompt, held_out), torch.tensor(held_out.labels)
    free = class_scores(task, prompt, Examples(CONTENT_FREE, (0, 0, 0))).exp().mean(0)
    right = ((scores.exp() / free).argmax(1) == labels).float().mean().item()
    assert evaluate(task, prompt, held_out).calibrated == pytest.approx(right)


def test_calibration_changes_what_some_prompts_can_do(task, examples):
    found = [evaluate(task, prompt, examples(60, 12)) for prompt in PROMPTS]
    assert any(each.calibrated > each.accuracy + 0.05 for each in found)


def test_the_median_gives_every_class_its_half(task, examples):
    held_out = examples(60, 13)
    scores = class_scores(task, "", held_out)
    by_half = scores[:, 1] - scores[:, 0] > (scores[:, 1] - scores[:, 0]).median()
    right = (by_half == torch.tensor(held_out.labels).bool()).float().mean().item()
    assert evaluate(task, "", held_out).median == pytest.approx(right, abs=0.05)
    by_class = ((scores - scores.sort(0).values[29]).argmax(1) == torch.tensor(held_out.labels)).float().mean().item()
    assert evaluate(task, "", held_out).median == pytest.approx(by_class)


def test_an_evaluation_is_of_all_examples(task, examples):
    held_out = examples(2 * TOGETHER + 5, 12)
    scores, labels = class_scores(task, "maybe", held_out), torch.tensor(held_out.labels)
    found = evaluate(task, "maybe", held_out)
    assert scores.shape == (2 * TOGETHER + 5, 2)
    assert torch.allclose(scores.exp().sum(1), torch.ones(len(scores)), atol=1e-5)
    assert found.accuracy == pytest.approx((scores.argmax(1) == labels).float().mean().item())
    assert found.loss == pytest.approx(-scores[torch.arange(len(scores)), labels].mean().item(), abs=1e-5)
    assert (found.prompt, found.examples, found.cut) == ("maybe", 2 * TOGETHER + 5, 0)
    for place in (0, TOGETHER, len(held_out) - 1):
        assert torch.allclose(scores[place], class_scores(task, "maybe", held_out.take([place]))[0], atol=1e-4)


def test_texts_are_scored_few_at_a_time(task, examples, monkeypatch):
    sizes, real = [], task.scores
    monkeypatch.setattr(task, "scores", lambda embedded, rows: sizes.append(len(rows)) or real(embedded, rows))
    class_scores(task, "maybe", examples(2 * TOGETHER + 5, 12))
    assert sizes == [TOGETHER, TOGETHER, 5]


def test_texts_that_are_too_long_are_cut_and_counted(task):
    held_out = Examples(("the movie is lovely . " * 40, "the plot is dull ."), (1, 0))
    assert (evaluate(task, "maybe", held_out).cut, evaluate(task, "maybe", held_out).examples) == (1, 2)
    with pytest.raises(PezError, match="prompt length 60 and template leave no room"):
        evaluate(task, " ".join(["maybe"] * 60), held_out)


def test_a_soft_prompt_scores_like_the_text_that_it_embeds(task, examples):
    held_out = examples(20, 17)
    embedded = task.model.embed(torch.tensor(task.prompt_ids("overall verdict")))
    soft, text = evaluate(task, embedded, held_out), evaluate(task, "overall verdict", held_out)
    assert (soft.prompt, soft.perplexity) == ("", None)
    assert (soft.accuracy, soft.calibrated, soft.median) == (text.accuracy, text.calibrated, text.median)
    assert soft.loss == pytest.approx(text.loss, abs=1e-4)
    with pytest.raises(PezError, match="prompt length 60 and template leave no room"):
        evaluate(task, embedded[:1].repeat(60, 1), held_out)


def test_perplexity_is_behind_the_first_texts(task, examples):
    some = examples(PERPLEXITY_TEXTS + 9, 15)
    ids = torch.tensor([task.prompt_ids("overall verdict")])
    rows = task.rows(some.take(range(PERPLEXITY_TEXTS)))
    surprise = task.scores(task.model.embed(ids), rows, ids, PERPLEXITY_TEXTS).surprise.item()
    assert evaluate(task, "overall verdict", some).perplexity == pytest.approx(math.exp(surprise), rel=1e-4)


def test_order_of_examples_does_not_matter(task, examples):
    held_out = examples(40, 14)
    there = class_scores(task, "people often", held_out)
    back = class_scores(task, "people often", held_out.take(range(39, -1, -1)))
    assert torch.allclose(there, back.flip(0), atol=1e-5)


def test_perplexity_belongs_to_prompts_of_tokens(task, examples):
    some = examples(20, 15)
    assert evaluate(task, "", some).perplexity is None
    cue, other = (evaluate(task, prompt, some).perplexity for prompt in ("overall verdict", "verdict overall"))
    assert 1 < cue < other


def test_transfer_reads_every_prompt_by_the_other_models_tokenizer(task, examples):
    held_out = examples(40, 16)
    found = transfer(task, ["overall verdict", "maybe"], held_out)
    assert found == [evaluate(task, "overall verdict", held_out), evaluate(task, "maybe", held_out)]
