"""Classifier: class scores of texts, from the label words alone, with texts read once."""

import math
from dataclasses import replace

import pytest
import torch

from pez_core import PezError
from pez_core.language import Classifier, Examples, Template, Verbalizer
from pez_core.language.classifier import SPARE, Scores, TokenisedExamples
from pez_core.language.judge import ClassificationJudge
from pez_core.language.prefix_cache import PrefixCache


def whole_logits(model, ids):
    return model.transformers_model(torch.tensor([ids])).logits[0]


def by_hand(classifier, examples, prompt):
    """Log-probabilities of the label words by a plain forward of every whole text."""
    model, scores = classifier.model, []
    for text in examples.texts:
        ids = model.vocabulary.encode(classifier.template.fill(text, prompt))
        logits = whole_logits(model, ids)[-1]
        scores.append([logits[word[0]] for _, word in classifier.label_ids])
    return torch.tensor(scores)


@pytest.mark.parametrize("pattern", ["{text} {prompt} It was {label}", "{prompt} {text} It was {label}"])
def test_scores_are_those_of_whole_texts(model, verbalizer, make_examples, pattern):
    classifier, some = Classifier(model, Template(pattern), verbalizer), make_examples(12, 3)
    filled = classifier.filled(some, "maybe green window")
    scores = classifier.scores(model.embeddings[:0][None], filled).classes[0]
    assert torch.allclose(scores, by_hand(classifier, some, "maybe green window"), atol=1e-4)


@pytest.mark.parametrize(
    "pattern",
    ["{text} {prompt} It was {label}", "maybe {text} {prompt} {label}", "{prompt} {text} It was {label}"],
)
def test_learned_ids_score_like_their_text(model, verbalizer, make_examples, pattern):
    classifier, some = Classifier(model, Template(pattern), verbalizer), make_examples(12, 3)
    ids = torch.tensor([classifier.prompt_ids("people often")])
    learned = classifier.scores(model.embed(ids), classifier.tokenised(some, 2)).classes
    assert torch.allclose(learned[0], by_hand(classifier, some, "people often"), atol=1e-4)


def test_several_prompts_score_like_each_alone(classifier, make_examples):
    examples = classifier.tokenised(make_examples(5, 3), 2)
    ids = torch.tensor([classifier.prompt_ids(text) for text in ("people often", "overall verdict", "maybe green")])
    together = classifier.scores(classifier.model.embed(ids), examples, ids, 2)
    assert together.classes.shape == (3, 5, 2) and together.surprise.shape == (3,)
    for place in range(3):
        alone = classifier.scores(classifier.model.embed(ids[place : place + 1]), examples, ids[place : place + 1], 2)
        assert torch.allclose(together.classes[place], alone.classes[0], atol=1e-4)
        assert torch.allclose(together.surprise[place], alone.surprise[0], atol=1e-4)


def test_the_loss_is_the_mean_cross_entropy_of_every_prompt():
    classes = torch.tensor([[[2.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]])
    wanted = [(math.log(1 + math.exp(-2)) + math.log(1 + math.exp(1))) / 2, math.log(2)]
    assert Scores(classes, None).loss(torch.tensor([0, 0])).tolist() == pytest.approx(wanted)


def test_tokenised_examples_are_heads_and_tails_around_the_prompt(classifier):
    encode = classifier.model.vocabulary.encode
    examples = classifier.tokenised(Examples((" the plot is dull . ", "the song is warm ."), (0, 1)), 2)
    heads, tails = examples.heads, examples.tails
    assert heads == (tuple(encode("the plot is dull .")), tuple(encode("the song is warm .")))
    assert tails == (tuple(encode(" It was")),) * 2 and examples.labels == (0, 1)
    assert len(examples) == 2 and examples.cut == 0
    assert examples.take([1, 1]) == TokenisedExamples((heads[1],) * 2, (tails[1],) * 2, (1, 1))
    assert classifier.prompt_ids("overall verdict") == tuple(encode(" overall verdict"))


def test_a_prompt_in_plain_text_is_in_the_tails(classifier):
    encode = classifier.model.vocabulary.encode
    head, tail = tuple(encode("the plot is dull .")), tuple(encode(" overall verdict It was"))
    filled = classifier.filled(Examples(("the plot is dull .",), (1,)), "overall verdict")
    assert filled == TokenisedExamples((head,), (tail,), (1,))


def test_something_is_left_to_read_when_nothing_stands_after_the_text(model, verbalizer):
    filled = Classifier(model, Template("{text} {label}"), verbalizer).filled(Examples(("the plot is dull",), (1,)), "")
    *head, last = model.vocabulary.encode("the plot is dull")
    assert (filled.heads, filled.tails) == ((tuple(head),), ((last,),))


def test_texts_are_read_once_for_all_prompts(classifier, make_examples, monkeypatch):
    reads, read = [], classifier.model._read
    monkeypatch.setattr(classifier.model, "prefixes", PrefixCache(lambda texts: reads.append(texts) or read(texts)))
    examples = classifier.tokenised(make_examples(20, 4), 2)
    for prompt in ("maybe", "people often"):
        classifier.scores(classifier.model.embed(torch.tensor([classifier.prompt_ids(prompt)])), examples)
    assert sum(map(len, reads)) == len(set(examples.heads))


def test_label_words_of_several_tokens_are_scored_as_sequences(model, make_examples):
    classifier = Classifier(
        model, Template(), Verbalizer({"a": ("green window paper", "great"), "b": ("paper overall",)})
    )
    some = make_examples(6, 5)
    prompt = model.embed(torch.tensor([classifier.prompt_ids("maybe")]))
    scores = classifier.scores(prompt, classifier.tokenised(some, 1)).classes[0]
    for text, found in zip(some.texts, scores):
        context = model.vocabulary.encode(classifier.template.fill(text, "maybe"))
        sums = {}
        for _, word in classifier.label_ids:
            log = whole_logits(model, context + list(word)).log_softmax(-1)
            sums[word] = sum(log[len(context) - 1 + place, token] for place, token in enumerate(word))
        (first, second, third) = sums.values()
        wanted = torch.stack([torch.logaddexp(first, second), third])
        assert torch.allclose(found.log_softmax(-1), wanted.log_softmax(-1), atol=1e-4)
    assert {len(word) for _, word in classifier.label_ids} >= {1, 2, 3}


def test_label_words_that_begin_alike_are_read_together(model, make_examples, monkeypatch):
    words = Verbalizer({"a": ("green window", "great"), "b": ("green paper", "paper overall")})
    classifier, reads, states = Classifier(model, Template(), words), [], model.states
    monkeypatch.setattr(model, "states", lambda *given: reads.append(given) or states(*given))
    classifier.scores(
        model.embed(torch.tensor([classifier.prompt_ids("maybe")])), classifier.tokenised(make_examples(3, 5), 1)
    )
    assert sorted(len(ids) for _, ids in classifier.label_ids) == [1, 2, 2, 2]
    assert len(reads) == 3, "behind the text alone, behind green, behind paper"


def test_surprise_is_the_models_own(classifier, make_examples):
    some = make_examples(3, 6)
    ids = torch.tensor([classifier.prompt_ids("people often maybe")])
    surprise = classifier.scores(classifier.model.embed(ids), classifier.tokenised(some, 3), ids, 3).surprise
    wanted = []
    for text in some.texts:
        head = classifier.model.vocabulary.encode(classifier.template.head(text))
        log = whole_logits(classifier.model, head + ids[0].tolist()).log_softmax(-1)
        wanted += [-log[len(head) - 1 + place, token] for place, token in enumerate(ids[0].tolist())]
    assert surprise.item() == pytest.approx(torch.stack(wanted).mean().item(), abs=1e-4)


def test_the_gradient_is_that_of_a_plain_forward(classifier, make_examples):
    some = make_examples(8, 7)
    ids = torch.tensor([classifier.prompt_ids("people often")])
    verdict, gradient = ClassificationJudge(classifier, classifier.tokenised(some, 2), 8, 0.0).with_gradient(ids)
    model, loss = classifier.model, torch.zeros(())
    prompt = model.embed(ids[0]).requires_grad_(True)
    for text, label in zip(some.texts, some.labels):
        head = model.embed(torch.tensor(model.vocabulary.encode(classifier.template.head(text))))
        tail = model.embed(torch.tensor(model.vocabulary.encode(" It was")))
        logits = model.transformers_model(inputs_embeds=torch.cat([head, prompt, tail])[None]).logits[0, -1]
        words = torch.stack([logits[word[0]] for _, word in classifier.label_ids])
        loss = loss - words.log_softmax(0)[label] / len(some)
    (wanted,) = torch.autograd.grad(loss, prompt)
    assert -verdict.score.item() == pytest.approx(loss.item(), abs=1e-5)
    assert torch.allclose(gradient[0], wanted, atol=1e-5)


def test_no_weight_gets_a_gradient_or_changes(classifier, make_examples):
    weights = {name: value.clone() for name, value in classifier.model.transformers_model.state_dict().items()}
    ids = torch.tensor([classifier.prompt_ids("people often")])
    ClassificationJudge(classifier, classifier.tokenised(make_examples(8, 7), 2), 8, 0.5).with_gradient(ids)
    assert all(weight.grad is None for weight in classifier.model.transformers_model.parameters())
    after = classifier.model.transformers_model.state_dict()
    assert all(torch.equal(weight, after[name]) for name, weight in weights.items())


def test_long_texts_are_cut_to_the_context_and_counted(classifier):
    long = Examples(("the movie is lovely . " * 40, "the plot is dull ."), (1, 0))
    truncated, cut = classifier.truncated(long, 5)
    assert truncated.labels == long.labels
    assert cut == 1 and truncated.texts[1] == long.texts[1] and len(truncated.texts[0]) < len(long.texts[0])
    lengths = [len(model_ids) for model_ids in classifier.filled(truncated, "maybe people often green window").heads]
    assert max(lengths) < classifier.model.context_length


def test_tokenising_truncates_texts_and_counts_them(classifier):
    long = Examples(("the movie is lovely . " * 40, "the plot is dull .", "the song is warm . " * 40), (1, 0, 1))
    truncated, cut = classifier.truncated(long, 5)
    examples = classifier.tokenised(long, 5)
    assert examples == replace(classifier.tokenised(truncated, 5), cut=2) and cut == 2
    assert examples.heads[1] == tuple(classifier.model.vocabulary.encode("the plot is dull ."))
    assert examples.labels == (1, 0, 1)
    longest = max(len(head) + len(tail) for head, tail in zip(examples.heads, examples.tails))
    assert longest + 5 + 1 == classifier.model.context_length - SPARE


def test_room_is_what_template_prompt_and_label_leave_of_the_context(classifier):
    room = 64 - 2 - 5 - 1 - SPARE  # less "It was", five tokens of prompt, and one of the label
    words = " ".join(["movie"] * room)
    assert len(classifier.model.vocabulary.encode(words)) == room
    examples = Examples((words, f"{words} movie"), (0, 1))
    truncated, cut = classifier.truncated(examples, 5)
    assert cut == 1 and truncated.texts == (words, words)
    assert classifier.tokenised(examples, 5).cut == 1
    for too_long in (classifier.truncated, classifier.tokenised):
        with pytest.raises(PezError, match="prompt length 57 and template leave no room"):
            too_long(examples, 5 + room)
    assert classifier.truncated(examples, 5 + room - 1)[1] == 2
    assert classifier.tokenised(examples, 5 + room - 1).cut == 2


def test_longer_labels_leave_less_room(model):
    classifier = Classifier(model, Template(), Verbalizer({"a": ("green window",), "b": ("great",)}))
    longest = max(len(ids) for _, ids in classifier.label_ids)
    room = 64 - 2 - 5 - longest - SPARE
    assert longest > 1
    words = " ".join(["movie"] * room)
    assert classifier.truncated(Examples((words, f"{words} movie"), (0, 1)), 5)[1] == 1


def test_label_words_that_the_model_reads_alike_are_refused(model):
    with pytest.raises(PezError, match="verbalizer has words that the model reads alike; choose words that differ"):
        Classifier(model, Template(), Verbalizer({"a": ("great",), "b": ("great,",)}))  # the comma is no token of it


def test_the_first_token_surprises_only_behind_something(model, verbalizer, make_examples):
    classifier = Classifier(model, Template("{prompt} {text} It was {label}"), verbalizer)
    some, ids = make_examples(3, 6), torch.tensor([classifier.prompt_ids("people often maybe")])
    surprise = classifier.scores(classifier.model.embed(ids), classifier.tokenised(some, 3), ids, 3).surprise
    log = whole_logits(model, ids[0].tolist()).log_softmax(-1)
    wanted = -(log[0, ids[0, 1]] + log[1, ids[0, 2]]) / 2
    assert surprise.item() == pytest.approx(wanted.item(), abs=1e-4)
    one = ids[:, :1]
    assert classifier.scores(classifier.model.embed(one), classifier.tokenised(some, 3), one, 3).surprise is None


def test_surprise_is_only_taken_where_it_is_asked_for(classifier, make_examples):
    examples, ids = classifier.tokenised(make_examples(4, 6), 2), torch.tensor([classifier.prompt_ids("people often")])
    embedded = classifier.model.embed(ids)
    assert classifier.scores(embedded, examples).surprise is None
    assert classifier.scores(embedded, examples, ids).surprise is None
    assert classifier.scores(embedded, examples, None, 2).surprise is None
    two = classifier.scores(embedded, examples, ids, 2)
    alone = classifier.scores(embedded, examples.take([0, 1]), ids, 2)
    assert torch.allclose(two.surprise, alone.surprise, atol=1e-5)


def test_a_prompt_that_fills_the_context_is_refused(classifier, make_examples):
    with pytest.raises(PezError, match="prompt length 60 and template leave no room for a text"):
        classifier.truncated(make_examples(2, 0), 60)
