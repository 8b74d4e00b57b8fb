"""Evaluation: by the text itself, raw and with the class prior taken out."""

import math

import pytest
import torch

from pez_core import PezError
from pez_core.language import evaluate, transfer
from pez_core.language.data import Examples
from pez_core.language.evaluation import CONTENT_FREE, PERPLEXITY_TEXTS, TOGETHER, class_scores


def test_the_cue_tells_classes_apart_and_the_template_does_not(classifier, make_examples):
    held_out = make_examples(60, 11)
    assert (
        evaluate(classifier, "overall verdict", held_out).accuracy > evaluate(classifier, "", held_out).accuracy + 0.2
    )


PROMPTS = ("", "maybe", "verdict", "overall great", "verdict great", "verdict terrible")


@pytest.mark.parametrize("prompt", PROMPTS)
def test_calibration_divides_out_what_texts_without_content_get(classifier, make_examples, prompt):
    held_out = make_examples(60, 12)
    scores, labels = class_scores(classifier, prompt, held_out), torch.tensor(held_out.labels)
    free = class_scores(classifier, prompt, Examples(CONTENT_FREE, (0, 0, 0))).exp().mean(0)
    right = ((scores.exp() / free).argmax(1) == labels).float().mean().item()
    assert evaluate(classifier, prompt, held_out).calibrated == pytest.approx(right)


def test_calibration_changes_what_some_prompts_can_do(classifier, make_examples):
    found = [evaluate(classifier, prompt, make_examples(60, 12)) for prompt in PROMPTS]
    assert any(each.calibrated > each.accuracy + 0.05 for each in found)


def test_the_median_gives_every_class_its_half(classifier, make_examples):
    held_out = make_examples(60, 13)
    scores = class_scores(classifier, "", held_out)
    by_half = scores[:, 1] - scores[:, 0] > (scores[:, 1] - scores[:, 0]).median()
    right = (by_half == torch.tensor(held_out.labels).bool()).float().mean().item()
    assert evaluate(classifier, "", held_out).median == pytest.approx(right, abs=0.05)
    by_class = ((scores - scores.sort(0).values[29]).argmax(1) == torch.tensor(held_out.labels)).float().mean().item()
    assert evaluate(classifier, "", held_out).median == pytest.approx(by_class)


def test_an_evaluation_is_of_all_examples(classifier, make_examples):
    held_out = make_examples(2 * TOGETHER + 5, 12)
    scores, labels = class_scores(classifier, "maybe", held_out), torch.tensor(held_out.labels)
    found = evaluate(classifier, "maybe", held_out)
    assert scores.shape == (2 * TOGETHER + 5, 2)
    assert torch.allclose(scores.exp().sum(1), torch.ones(len(scores)), atol=1e-5)
    assert found.accuracy == pytest.approx((scores.argmax(1) == labels).float().mean().item())
    assert found.loss == pytest.approx(-scores[torch.arange(len(scores)), labels].mean().item(), abs=1e-5)
    assert (found.prompt, found.examples, found.cut) == ("maybe", 2 * TOGETHER + 5, 0)
    for place in (0, TOGETHER, len(held_out) - 1):
        assert torch.allclose(scores[place], class_scores(classifier, "maybe", held_out.take([place]))[0], atol=1e-4)


def test_texts_are_scored_few_at_a_time(classifier, make_examples, monkeypatch):
    sizes, real = [], classifier.scores
    monkeypatch.setattr(classifier, "scores", lambda embedded, some: sizes.append(len(some)) or real(embedded, some))
    class_scores(classifier, "maybe", make_examples(2 * TOGETHER + 5, 12))
    assert sizes == [TOGETHER, TOGETHER, 5]


def test_texts_that_are_too_long_are_cut_and_counted(classifier):
    held_out = Examples(("the movie is lovely . " * 40, "the plot is dull ."), (1, 0))
    assert (evaluate(classifier, "maybe", held_out).cut, evaluate(classifier, "maybe", held_out).examples) == (1, 2)
    with pytest.raises(PezError, match="prompt length 60 and template leave no room"):
        evaluate(classifier, " ".join(["maybe"] * 60), held_out)


def test_a_soft_prompt_scores_like_the_text_that_it_embeds(classifier, make_examples):
    held_out = make_examples(20, 17)
    embedded = classifier.model.embed(torch.tensor(classifier.prompt_ids("overall verdict")))
    soft, text = evaluate(classifier, embedded, held_out), evaluate(classifier, "overall verdict", held_out)
    assert (soft.prompt, soft.perplexity) == ("", None)
    assert (soft.accuracy, soft.calibrated, soft.median) == (text.accuracy, text.calibrated, text.median)
    assert soft.loss == pytest.approx(text.loss, abs=1e-4)
    with pytest.raises(PezError, match="prompt length 60 and template leave no room"):
        evaluate(classifier, embedded[:1].repeat(60, 1), held_out)


def test_perplexity_is_behind_the_first_texts(classifier, make_examples):
    some = make_examples(PERPLEXITY_TEXTS + 9, 15)
    ids = torch.tensor([classifier.prompt_ids("overall verdict")])
    first = classifier.tokenised(some.take(range(PERPLEXITY_TEXTS)), 2)
    surprise = classifier.scores(classifier.model.embed(ids), first, ids, PERPLEXITY_TEXTS).surprise.item()
    assert evaluate(classifier, "overall verdict", some).perplexity == pytest.approx(math.exp(surprise), rel=1e-4)


def test_order_of_examples_does_not_matter(classifier, make_examples):
    held_out = make_examples(40, 14)
    there = class_scores(classifier, "people often", held_out)
    back = class_scores(classifier, "people often", held_out.take(range(39, -1, -1)))
    assert torch.allclose(there, back.flip(0), atol=1e-5)


def test_perplexity_belongs_to_prompts_of_tokens(classifier, make_examples):
    some = make_examples(20, 15)
    assert evaluate(classifier, "", some).perplexity is None
    cue, other = (evaluate(classifier, prompt, some).perplexity for prompt in ("overall verdict", "verdict overall"))
    assert 1 < cue < other


def test_transfer_reads_every_prompt_by_the_other_models_tokenizer(classifier, make_examples):
    held_out = make_examples(40, 16)
    found = transfer(classifier, ["overall verdict", "maybe"], held_out)
    assert found == [evaluate(classifier, "overall verdict", held_out), evaluate(classifier, "maybe", held_out)]
