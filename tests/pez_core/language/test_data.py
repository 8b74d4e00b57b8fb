"""Labelled texts from files, and small parts of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pez_core import PezError
from pez_core.language import Examples, few_shot, parted, read_examples, split

CLASSES = ("0", "1")


def write(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_columns_go_by_number_in_a_file_without_header(tmp_path):
    path = write(tmp_path, "a.tsv", 'it is "fine\t1\nso so\t0\n')
    assert read_examples(path, ["1"], "2", CLASSES) == Examples(('it is "fine', "so so"), (1, 0))


def test_columns_go_by_name_in_a_file_with_header_and_quotes(tmp_path):
    path = write(tmp_path, "a.csv", 'id,label,sentence\n7,1,"good, very ""good"""\n8,0,bad\n')
    assert read_examples(path, ["sentence"], "label", CLASSES).texts == ('good, very "good"', "bad")


def test_several_text_columns_are_joined(tmp_path):
    path = write(tmp_path, "a.csv", '"1","Title","Body"\n')
    assert read_examples(path, ["2", "3"], "1", CLASSES) == Examples(("Title Body",), (1,))


@pytest.mark.parametrize(
    ("name", "text", "column", "message"),
    [
        ("a.tsv", "text\tlabel\nfine\t1\n", "sentence", "has no column 'sentence'; choose a name in its first line"),
        ("a.tsv", "fine\t1\n", "3", "has no column '3'"),
        ("a.tsv", "text\tlabel\n", "text", "holds no examples"),
        ("a.tsv", "text\tlabel\nfine\t2\n", "text", "has the label '2' in row 2, which the verbalizer lacks"),
        ("a.tsv", "text\tlabel\nfine\n", "text", "has too few columns in row 2"),
        ("a.json", "{}", "text", "is neither TSV nor CSV"),
    ],
)
def test_files_that_cannot_be_used_are_refused(tmp_path, name, text, column, message):
    label = "2" if column.isdigit() else "label"
    with pytest.raises(PezError, match=message):
        read_examples(write(tmp_path, name, text), [column], label, CLASSES)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(PezError, match="could not be read"):
        read_examples(tmp_path / "none.tsv", ["1"], "2", CLASSES)


@given(
    st.lists(st.integers(0, 2), min_size=30, max_size=60).filter(lambda labels: set(labels) == {0, 1, 2}), st.integers()
)
def test_a_split_shares_the_classes_out_and_loses_nothing(labels, seed):
    examples = Examples(tuple(str(row) for row in range(len(labels))), tuple(labels))
    some, rest = split(examples, 9, seed)
    assert sorted(some.texts + rest.texts) == sorted(examples.texts)
    fewest = min(labels.count(label) for label in range(3))
    assert all(some.labels.count(label) >= min(3, fewest) for label in range(3))


def test_few_shot_draws_as_many_of_each_class(examples):
    drawn = few_shot(examples(40, 1), 4, CLASSES, 7)
    assert sorted(drawn.labels) == [0] * 4 + [1] * 4
    assert drawn == few_shot(examples(40, 1), 4, CLASSES, 7) != few_shot(examples(40, 1), 4, CLASSES, 8)


def test_training_and_choosing_never_share_an_example():
    numbered = Examples(tuple(str(row) for row in range(60)), tuple(row % 2 for row in range(60)))
    for count in (4, None):
        train, validation = parted(numbered, CLASSES, count, 3)
        assert not set(train.texts) & set(validation.texts)
        assert count is None or len(train) == len(validation) == 8


def test_a_class_without_enough_examples_is_refused(examples):
    with pytest.raises(PezError, match="data has 2 examples of class '0', not 3"):
        few_shot(examples(4, 0), 3, CLASSES, 0)
    with pytest.raises(PezError, match="data has 0 examples of class '1'"):
        few_shot(Examples(("a",), (0,)), 1, CLASSES, 0)
