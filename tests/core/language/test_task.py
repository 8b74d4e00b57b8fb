"""Task: class scores of texts, from the label words alone, with texts read once."""

import math

import pytest
import torch

from pez_core import PezError
from pez_core.language import Examples, Task, Template, Verbalizer
from pez_core.language.goal import ClassificationGoal
from pez_core.language.task import SPARE, Rows, Scores


def whole_logits(model, ids):
    return model.transformers_model(torch.tensor([ids])).logits[0]


def by_hand(task, examples, prompt):
    """Log-probabilities of the label words by a plain forward of every whole text."""
    model, rows = task.model, []
    for text in examples.texts:
        ids = model.vocabulary.encode(task.template.fill(text, prompt))
        logits = whole_logits(model, ids)[-1]
        rows.append([logits[word[0]] for _, word in task.label_ids.words])
    return torch.tensor(rows)


@pytest.mark.parametrize("pattern", ["{text} {prompt} It was {label}", "{prompt} {text} It was {label}"])
def test_scores_are_those_of_whole_texts(model, verbalizer, examples, pattern):
    task, some = Task(model, Template(pattern), verbalizer), examples(12, 3)
    rows = task.filled(some, "maybe green window")
    scores = task.scores(model.embeddings[:0][None], rows).classes[0]
    assert torch.allclose(scores, by_hand(task, some, "maybe green window"), atol=1e-4)


@pytest.mark.parametrize(
    "pattern",
    ["{text} {prompt} It was {label}", "maybe {text} {prompt} {label}", "{prompt} {text} It was {label}"],
)
def test_learned_ids_score_like_their_text(model, verbalizer, examples, pattern):
    task, some = Task(model, Template(pattern), verbalizer), examples(12, 3)
    ids = torch.tensor([task.prompt_ids("people often")])
    learned = task.scores(model.embed(ids), task.rows(some)).classes
    assert torch.allclose(learned[0], by_hand(task, some, "people often"), atol=1e-4)


def test_several_prompts_score_like_each_alone(task, examples):
    rows = task.rows(examples(5, 3))
    ids = torch.tensor([task.prompt_ids(text) for text in ("people often", "overall verdict", "maybe green")])
    together = task.scores(task.model.embed(ids), rows, ids, 2)
    assert together.classes.shape == (3, 5, 2) and together.surprise.shape == (3,)
    for place in range(3):
        alone = task.scores(task.model.embed(ids[place : place + 1]), rows, ids[place : place + 1], 2)
        assert torch.allclose(together.classes[place], alone.classes[0], atol=1e-4)
        assert torch.allclose(together.surprise[place], alone.surprise[0], atol=1e-4)


def test_the_loss_is_the_mean_cross_entropy_of_every_prompt():
    classes = torch.tensor([[[2.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]])
    wanted = [(math.log(1 + math.exp(-2)) + math.log(1 + math.exp(1))) / 2, math.log(2)]
    assert Scores(classes, None).loss(torch.tensor([0, 0])).tolist() == pytest.approx(wanted)


def test_rows_are_heads_and_tails_around_the_prompt(task):
    encode = task.model.vocabulary.encode
    rows = task.rows(Examples((" the plot is dull . ", "the song is warm ."), (0, 1)))
    assert rows.heads == (tuple(encode("the plot is dull .")), tuple(encode("the song is warm .")))
    assert rows.tails == (tuple(encode(" It was")),) * 2 and rows.labels == (0, 1) and len(rows) == 2
    assert rows.take([1, 1]) == Rows((rows.heads[1],) * 2, (rows.tails[1],) * 2, (1, 1))
    assert task.prompt_ids("overall verdict") == tuple(encode(" overall verdict"))


def test_a_prompt_in_plain_text_is_in_the_tails(task):
    encode = task.model.vocabulary.encode
    rows = task.filled(Examples(("the plot is dull .",), (1,)), "overall verdict")
    assert rows == Rows((tuple(encode("the plot is dull .")),), (tuple(encode(" overall verdict It was")),), (1,))


def test_something_is_left_to_read_when_nothing_stands_after_the_text(model, verbalizer):
    rows = Task(model, Template("{text} {label}"), verbalizer).filled(Examples(("the plot is dull",), (1,)), "")
    *head, last = model.vocabulary.encode("the plot is dull")
    assert (rows.heads, rows.tails) == ((tuple(head),), ((last,),))


def test_texts_are_read_once_for_all_prompts(task, examples, monkeypatch):
    reads = []
    monkeypatch.setattr(task.model, "library", type(task.model.library)(lambda t: reads.append(t) or read(t)))
    read, rows = task.model._read, task.rows(examples(20, 4))
    for prompt in ("maybe", "people often"):
        task.scores(task.model.embed(torch.tensor([task.prompt_ids(prompt)])), rows)
    assert sum(map(len, reads)) == len(set(rows.heads))


def test_label_words_of_several_tokens_are_scored_as_sequences(model, examples):
    task = Task(model, Template(), Verbalizer({"a": ("green window paper", "great"), "b": ("paper overall",)}))
    some = examples(6, 5)
    scores = task.scores(model.embed(torch.tensor([task.prompt_ids("maybe")])), task.rows(some)).classes[0]
    for text, found in zip(some.texts, scores):
        context = model.vocabulary.encode(task.template.fill(text, "maybe"))
        sums = {}
        for _, word in task.label_ids.words:
            log = whole_logits(model, context + list(word)).log_softmax(-1)
            sums[word] = sum(log[len(context) - 1 + place, token] for place, token in enumerate(word))
        (first, second, third) = sums.values()
        wanted = torch.stack([torch.logaddexp(first, second), third])
        assert torch.allclose(found.log_softmax(-1), wanted.log_softmax(-1), atol=1e-4)
    assert {len(word) for _, word in task.label_ids.words} >= {1, 2, 3}


def test_surprise_is_the_models_own(task, examples):
    some = examples(3, 6)
    ids = torch.tensor([task.prompt_ids("people often maybe")])
    surprise = task.scores(task.model.embed(ids), task.rows(some), ids, 3).surprise
    wanted = []
    for text in some.texts:
        head = task.model.vocabulary.encode(task.template.head(text))
        log = whole_logits(task.model, head + ids[0].tolist()).log_softmax(-1)
        wanted += [-log[len(head) - 1 + place, token] for place, token in enumerate(ids[0].tolist())]
    assert surprise.item() == pytest.approx(torch.stack(wanted).mean().item(), abs=1e-4)


def test_the_gradient_is_that_of_a_plain_forward(task, examples):
    some = examples(8, 7)
    ids = torch.tensor([task.prompt_ids("people often")])
    judged, gradient = ClassificationGoal(task, task.rows(some), 8, 0.0).judge_with_gradient(ids)
    model, loss = task.model, torch.zeros(())
    prompt = model.embed(ids[0]).requires_grad_(True)
    for text, label in zip(some.texts, some.labels):
        head = model.embed(torch.tensor(model.vocabulary.encode(task.template.head(text))))
        tail = model.embed(torch.tensor(model.vocabulary.encode(" It was")))
        logits = model.transformers_model(inputs_embeds=torch.cat([head, prompt, tail])[None]).logits[0, -1]
        words = torch.stack([logits[word[0]] for _, word in task.label_ids.words])
        loss = loss - words.log_softmax(0)[label] / len(some)
    (wanted,) = torch.autograd.grad(loss, prompt)
    assert -judged.score.item() == pytest.approx(loss.item(), abs=1e-5)
    assert torch.allclose(gradient[0], wanted, atol=1e-5)


def test_no_weight_gets_a_gradient_or_changes(task, examples):
    weights = {name: value.clone() for name, value in task.model.transformers_model.state_dict().items()}
    ids = torch.tensor([task.prompt_ids("people often")])
    ClassificationGoal(task, task.rows(examples(8, 7)), 8, 0.5).judge_with_gradient(ids)
    assert all(weight.grad is None for weight in task.model.transformers_model.parameters())
    after = task.model.transformers_model.state_dict()
    assert all(torch.equal(weight, after[name]) for name, weight in weights.items())


def test_long_texts_are_cut_to_the_context_and_counted(task):
    long = Examples(("the movie is lovely . " * 40, "the plot is dull ."), (1, 0))
    fitted, cut = task.fitted(long, 5)
    assert fitted.labels == long.labels
    assert cut == 1 and fitted.texts[1] == long.texts[1] and len(fitted.texts[0]) < len(long.texts[0])
    lengths = [len(model_ids) for model_ids in task.filled(fitted, "maybe people often green window").heads]
    assert max(lengths) < task.model.context_length


def test_room_is_what_template_prompt_and_label_leave_of_the_context(task):
    room = 64 - 2 - 5 - 1 - SPARE  # less "It was", five tokens of prompt, and one of the label
    words = " ".join(["movie"] * room)
    assert len(task.model.vocabulary.encode(words)) == room
    examples = Examples((words, f"{words} movie"), (0, 1))
    fitted, cut = task.fitted(examples, 5)
    assert cut == 1 and fitted.texts == (words, words)
    with pytest.raises(PezError, match="prompt length 57 and template leave no room"):
        task.fitted(examples, 5 + room)
    assert task.fitted(examples, 5 + room - 1)[1] == 2


def test_longer_labels_leave_less_room(model):
    task = Task(model, Template(), Verbalizer({"a": ("green window",), "b": ("great",)}))
    longest = max(len(ids) for _, ids in task.label_ids.words)
    room = 64 - 2 - 5 - longest - SPARE
    assert longest > 1
    words = " ".join(["movie"] * room)
    assert task.fitted(Examples((words, f"{words} movie"), (0, 1)), 5)[1] == 1


def test_label_words_that_the_model_reads_alike_are_refused(model):
    with pytest.raises(PezError, match="verbalizer has words that the model reads alike; choose words that differ"):
        Task(model, Template(), Verbalizer({"a": ("great",), "b": ("great,",)}))  # the comma is no token of it


def test_the_first_token_surprises_only_behind_something(model, verbalizer, examples):
    task = Task(model, Template("{prompt} {text} It was {label}"), verbalizer)
    some, ids = examples(3, 6), torch.tensor([task.prompt_ids("people often maybe")])
    surprise = task.scores(task.model.embed(ids), task.rows(some), ids, 3).surprise
    log = whole_logits(model, ids[0].tolist()).log_softmax(-1)
    wanted = -(log[0, ids[0, 1]] + log[1, ids[0, 2]]) / 2
    assert surprise.item() == pytest.approx(wanted.item(), abs=1e-4)
    one = ids[:, :1]
    assert task.scores(task.model.embed(one), task.rows(some), one, 3).surprise is None


def test_surprise_is_only_taken_where_it_is_asked_for(task, examples):
    rows, ids = task.rows(examples(4, 6)), torch.tensor([task.prompt_ids("people often")])
    embedded = task.model.embed(ids)
    assert task.scores(embedded, rows).surprise is None
    assert task.scores(embedded, rows, ids).surprise is None
    assert task.scores(embedded, rows, None, 2).surprise is None
    two, alone = task.scores(embedded, rows, ids, 2), task.scores(embedded, rows.take([0, 1]), ids, 2)
    assert torch.allclose(two.surprise, alone.surprise, atol=1e-5)


def test_a_prompt_that_fills_the_context_is_refused(task, examples):
    with pytest.raises(PezError, match="prompt length 60 and template leave no room for a text"):
        task.fitted(examples(2, 0), 60)
