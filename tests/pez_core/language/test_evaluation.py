"""Evaluation: by the text itself, raw and with the class prior taken out."""

import pytest
import torch

from pez_core.language import evaluate, transfer
from pez_core.language.data import Examples
from pez_core.language.evaluation import CONTENT_FREE, class_scores


def test_the_cue_tells_classes_apart_and_the_template_does_not(task, examples):
    held_out = examples(60, 11)
    assert evaluate(task, "overall verdict", held_out).accuracy > evaluate(task, "", held_out).accuracy + 0.2


def test_calibration_divides_out_what_texts_without_content_get(task, examples):
    held_out = examples(60, 12)
    scores, labels = class_scores(task, "maybe", held_out), torch.tensor(held_out.labels)
    free = class_scores(task, "maybe", Examples(CONTENT_FREE, (0, 0, 0))).exp().mean(0)
    right = ((scores.exp() / free).argmax(1) == labels).float().mean().item()
    assert evaluate(task, "maybe", held_out).calibrated == pytest.approx(right)


def test_the_median_gives_every_class_its_half(task, examples):
    held_out = examples(60, 13)
    scores = class_scores(task, "", held_out)
    by_half = scores[:, 1] - scores[:, 0] > (scores[:, 1] - scores[:, 0]).median()
    right = (by_half == torch.tensor(held_out.labels).bool()).float().mean().item()
    assert evaluate(task, "", held_out).median == pytest.approx(right, abs=0.05)


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
