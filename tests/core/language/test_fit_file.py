"""From a file to a learned prompt: the same as its parts, and whatever is wrong is said before a model is loaded."""

import csv

import pytest

from pez_core import PezError
from pez_core.language import (
    Classifier,
    FitSettings,
    Template,
    few_shot,
    fit,
    fit_file,
    read_examples,
    train_and_validation,
)

PATTERN, WORDS, CLASSES = "{text} {prompt} so {label}", "bad=terrible,good=great", ("bad", "good")
COLUMNS = {"text": ["title", "body"], "label": "class"}
SETTINGS = FitSettings(tokens=2, steps=6, validate_every=2, seed=3)


@pytest.fixture
def write(tmp_path, make_examples):
    """Examples in a CSV file, whose texts are in two columns."""

    def write(name, count, seed):
        examples = make_examples(count, seed)
        with (tmp_path / name).open("w", encoding="utf-8", newline="") as lines:
            rows = csv.writer(lines)
            rows.writerow(("class", "title", "body"))
            for text, label in zip(examples.texts, examples.labels):
                title, _, body = text.partition(" is ")
                rows.writerow((CLASSES[label], f"{title} is", body))
        return tmp_path / name

    return write


@pytest.fixture
def train(write):
    return write("train.csv", 40, 1)


@pytest.fixture
def validation(write):
    return write("validation.csv", 24, 2)


@pytest.fixture
def classifier(model, verbalizer):
    return Classifier(model, Template(PATTERN), verbalizer)


def read(path):
    return read_examples(path, COLUMNS["text"], COLUMNS["label"], CLASSES)


def learned_from(model, train, **options):
    return fit_file(lambda: model, train, **COLUMNS, template=PATTERN, verbalizer=WORDS, settings=SETTINGS, **options)


def assert_same_run(classifier, parts, found, checkpoint):
    """That the same prompts were found, and saved as those of the same examples."""
    assert fit(classifier, *parts, SETTINGS) == found
    again = fit(classifier, *parts, SETTINGS, checkpoint, lambda progress: pytest.fail("it was learned again"))
    assert again.ranked == found.ranked
    assert found.validated_on == len(parts[1])


@pytest.mark.parametrize(("per_class", "chosen"), [(None, 4), (5, 10)])
def test_one_file_serves_for_learning_and_for_choosing(model, classifier, train, tmp_path, per_class, chosen):
    found = learned_from(model, train, per_class=per_class, checkpoint=tmp_path)
    parts = train_and_validation(read(train), CLASSES, per_class, SETTINGS.seed)
    assert len(parts[1]) == chosen
    assert_same_run(classifier, parts, found, tmp_path)
    assert (found.template, found.verbalizer, found.settings) == (PATTERN, WORDS, SETTINGS)


def test_with_a_second_file_all_of_the_first_is_learned_from(model, classifier, train, validation, tmp_path):
    found = learned_from(model, train, validation=validation, checkpoint=tmp_path)
    assert_same_run(classifier, (read(train), read(validation)), found, tmp_path)


def test_of_two_files_so_many_examples_of_each_class_are_taken(model, classifier, train, validation, tmp_path):
    found = learned_from(model, train, validation=validation, per_class=5, checkpoint=tmp_path)
    parts = [few_shot(read(path), 5, CLASSES, SETTINGS.seed) for path in (train, validation)]
    assert [len(part) for part in parts] == [10, 10]
    assert_same_run(classifier, parts, found, tmp_path)


def test_progress_is_told_and_may_stop_it(model, train):
    told = []
    found = learned_from(model, train, on_step=lambda progress: told.append(progress.step) or progress.step == 3)
    assert told == [1, 2, 3] and found.steps == 3


def test_the_model_is_loaded_once(model, train):
    loads = []

    def load():
        loads.append(model)
        return model

    fit_file(load, train, **COLUMNS, template=PATTERN, verbalizer=WORDS, settings=SETTINGS)
    assert loads == [model]


FAULTS = {
    "bad=terrible": ({"verbalizer": "bad=terrible"}, "verbalizer has fewer than two classes"),
    "no text": ({"template": "It was {label}"}, r"template .* has no \{text\}"),
    "no such file": ({"train": "none.csv"}, "data file '.*none.csv' could not be read"),
    "no such column": ({"text": ["sentence"]}, "'train.csv' has no column 'sentence'"),
    "no such label": ({"verbalizer": "bad=terrible,fine=great"}, "'train.csv' has the label 'good'"),
    "a class without examples": ({"verbalizer": f"{WORDS},odd=so"}, "data has 0 examples of class 'odd', not 2"),
    "a class without examples beside a second file": (
        {"verbalizer": f"{WORDS},odd=so", "validation": "validation.csv"},
        "data has 0 examples of class 'odd', not 1",
    ),
    "too few of each class": ({"per_class": 11}, "data has 20 examples of class 'bad', not 22"),
    "none of each class": ({"per_class": 0}, "examples per class are 0; choose 1 or more"),
    "no second file": ({"validation": "none.csv"}, "data file '.*none.csv' could not be read"),
    "a second file of another kind": ({"validation": "validation.json"}, "'validation.json' is neither TSV nor CSV"),
    "too few in the second file": (
        {"validation": "validation.csv", "per_class": 13}, "data has 12 examples of class 'bad', not 13"
    ),
    "too few in the first file": (
        {"validation": "validation.csv", "per_class": 21}, "data has 20 examples of class 'bad', not 21"
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_said_before_the_model_is_loaded(train, validation, fault):
    changes, message = FAULTS[fault]
    given = {**COLUMNS, "train": "train.csv", "template": PATTERN, "verbalizer": WORDS, **changes}
    paths = {name: train.with_name(given[name]) for name in ("train", "validation") if name in given}
    with pytest.raises(PezError, match=message):
        fit_file(lambda: pytest.fail("the model was loaded"), **{**given, **paths})


def test_without_settings_it_is_learned_by_the_defaults(model, write):
    few = write("few.csv", 8, 5)
    found = fit_file(lambda: model, few, **COLUMNS, template=PATTERN, verbalizer=WORDS, on_step=lambda progress: True)
    assert found.settings == FitSettings() and found.steps == 1


def test_a_run_that_goes_on_tells_its_steps_from_where_it_stopped(model, train, tmp_path):
    told = []
    learned_from(model, train, checkpoint=tmp_path / "run", on_step=lambda progress: progress.step == 4)
    learned_from(model, train, checkpoint=tmp_path / "run", on_step=lambda progress: told.append(progress.step))
    assert told == [5, 6]
