"""Labelled texts from files, and small parts of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pez_core import PezError
from pez_core.language import Examples, few_shot, read_examples, split, train_and_validation
from pez_core.language.data import in_turns

CLASSES = ("0", "1")
NUMBERED = Examples(tuple(str(row) for row in range(60)), tuple(row % 2 for row in range(60)))


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


def test_a_quoted_text_may_go_over_lines(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b'"so\r\nlong",1\r\n\r\nbad,0\r\n')
    assert read_examples(path, ["1"], "2", CLASSES) == Examples(("so\r\nlong", "bad"), (1, 0))


def test_several_text_columns_are_joined(tmp_path):
    path = write(tmp_path, "a.csv", '"1","Title","Body"\n')
    assert read_examples(path, ["2", "3"], "1", CLASSES) == Examples(("Title Body",), (1,))


@pytest.mark.parametrize(
    ("name", "text", "column", "message"),
    [
        ("a.tsv", "text\tlabel\nfine\t1\n", "sentence", "has no column 'sentence'; choose a name in its first line"),
        ("a.tsv", "fine\t1\n", "3", "has no column '3'"),
        ("a.tsv", "text\tlabel\n", "text", "holds no examples; give one with a text and a label per line"),
        ("a.tsv", "", "text", "holds no examples"),
        ("a.tsv", " \n\n", "text", "holds no examples"),
        ("a.csv", "", "text", "holds no examples"),
        ("a.csv", "", "1", "holds no examples"),
        ("a.tsv", "text\tlabel\nfine\t1\n", "²", "has no column '²'"),
        ("a.tsv", "fine\t1\n", "٣", "has no column '٣'; choose a name in its first line, or 1 to 2"),
        ("a.tsv", "fine\t1\n", "0", "has no column '0'"),
        ("a.tsv", "fine\t1\n", "9" * 5000, "has no column '999"),
        ("a.tsv", "fine\t2\n", "1", "has the label '2' in row 1, which"),
        ("a.tsv", "text\tlabel\nfine\t2\n", "text", "has the label '2' in row 2, which the verbalizer lacks"),
        ("a.tsv", "text\tlabel\nfine\n", "text", "has too few columns in row 2"),
        ("a.tsv", "text\tlabel\nfine\t\n", "text", "has the label '' in row 2"),
        ("a.json", "{}", "text", "is neither TSV nor CSV"),
        ("a.csv", '"' + "a" * 200_000, "1", "could not be read: field larger than field limit"),
    ],
)
def test_files_that_cannot_be_used_are_refused(tmp_path, name, text, column, message):
    label = "2" if column.isdecimal() else "label"
    with pytest.raises(PezError, match=message):
        read_examples(write(tmp_path, name, text), [column], label, CLASSES)


def test_a_missing_file_is_refused(tmp_path):
    (tmp_path / "folder.tsv").mkdir()
    (tmp_path / "bytes.tsv").write_bytes(b"\xff\t1\n")
    for name in ("none.tsv", "folder.tsv", "bytes.tsv", "no\0name.tsv"):
        with pytest.raises(PezError, match="could not be read"):
            read_examples(tmp_path / name, ["1"], "2", CLASSES)


def test_a_column_by_number_in_a_file_with_header_counts_from_one(tmp_path):
    path = write(tmp_path, "a.tsv", "id\ttext\tlabel\n7\tfine\t1\n")
    assert read_examples(path, ["2"], "label", CLASSES) == Examples(("fine",), (1,))
    assert read_examples(path, ["text", "1"], "3", CLASSES) == Examples(("fine 7",), (1,))


def test_a_name_goes_before_a_number(tmp_path):
    path = write(tmp_path, "a.tsv", "2\t text \tlabel\nfirst\tsecond\t1\n")
    assert read_examples(path, ["2"], "label", CLASSES).texts == ("first",)
    assert read_examples(path, ["text"], "label", CLASSES).texts == ("second",)


def test_marks_at_the_start_windows_line_ends_and_blank_lines_do_no_harm(tmp_path):
    path = write(tmp_path, "a.tsv", "\ufefftext\tlabel\r\n\r\n  fine \t1 \r\nbad\t0\r\n")
    assert read_examples(path, ["text"], "label", CLASSES) == Examples(("fine", "bad"), (1, 0))


@given(
    st.lists(st.integers(0, 2), min_size=30, max_size=60).filter(lambda labels: set(labels) == {0, 1, 2}), st.integers()
)
def test_a_split_shares_the_classes_out_and_loses_nothing(labels, seed):
    examples = Examples(tuple(str(row) for row in range(len(labels))), tuple(labels))
    some, rest = split(examples, 9, seed)
    assert sorted(some.texts + rest.texts) == sorted(examples.texts)
    fewest = min(labels.count(label) for label in range(3))
    assert all(some.labels.count(label) >= min(3, fewest) for label in range(3))


def test_a_split_takes_all_there_are_and_the_rest_is_empty():
    some, rest = split(NUMBERED, 1000, 0)
    assert some == NUMBERED and rest == Examples((), ())
    assert split(Examples((), ()), 3, 0) == (Examples((), ()), Examples((), ()))


def test_a_split_keeps_the_order_and_the_labels_of_the_file():
    for part in split(NUMBERED, 20, 5):
        assert list(map(int, part.texts)) == sorted(map(int, part.texts))
        assert part.labels == tuple(int(text) % 2 for text in part.texts)
    assert len(split(NUMBERED, 20, 5)[0]) == 20
    assert split(NUMBERED, 20, 5) == split(NUMBERED, 20, 5) != split(NUMBERED, 20, 6)


def test_classes_take_turns_while_they_last():
    turns = in_turns(Examples(tuple("abcdef"), (0, 0, 0, 0, 1, 2)), 1)
    assert sorted(turns) == list(range(6))
    assert turns[0] < 4 and turns[1:3] == [4, 5] and all(row < 4 for row in turns[3:])
    assert {tuple(in_turns(NUMBERED, seed)[:4]) for seed in range(5)} != {tuple(in_turns(NUMBERED, 0)[:4])}


def test_one_example_can_be_asked_for():
    assert [len(part) for part in split(NUMBERED, 1, 0)] == [1, 59]
    assert sorted(few_shot(NUMBERED, 1, CLASSES, 0).labels) == [0, 1]
    assert few_shot(Examples(("a", "b"), (0, 1)), 1, CLASSES, 0) == Examples(("a", "b"), (0, 1))


@pytest.mark.parametrize("count", [0, -3])
def test_a_count_below_one_is_refused(count):
    with pytest.raises(PezError, match=f"number of examples is {count}; choose 1 or more"):
        split(NUMBERED, count, 0)
    with pytest.raises(PezError, match=f"examples per class are {count}; choose 1 or more"):
        few_shot(NUMBERED, count, CLASSES, 0)
    with pytest.raises(PezError, match="examples per class are"):
        train_and_validation(NUMBERED, CLASSES, count, 0)


def test_a_tenth_and_at_most_two_hundred_choose():
    for count, chosen in ((4, 2), (60, 6), (200, 20), (2500, 200)):
        many = Examples(tuple(map(str, range(count))), tuple(row % 2 for row in range(count)))
        train, validation = train_and_validation(many, CLASSES, None, 3)
        assert (len(train), len(validation)) == (count - chosen, chosen)
        assert validation.labels.count(0) == chosen // 2
    with pytest.raises(PezError, match="data has 1 examples of class '1', not 2"):
        train_and_validation(Examples(("a", "b", "c"), (0, 0, 1)), CLASSES, None, 0)


def test_few_shot_draws_as_many_of_each_class(make_examples):
    drawn = few_shot(make_examples(40, 1), 4, CLASSES, 7)
    assert sorted(drawn.labels) == [0] * 4 + [1] * 4
    assert drawn == few_shot(make_examples(40, 1), 4, CLASSES, 7) != few_shot(make_examples(40, 1), 4, CLASSES, 8)


def test_training_and_choosing_never_share_an_example():
    for count in (4, None):
        train, validation = train_and_validation(NUMBERED, CLASSES, count, 3)
        assert not set(train.texts) & set(validation.texts)
        assert count is None or len(train) == len(validation) == 8


def test_a_class_without_enough_examples_is_refused(make_examples):
    with pytest.raises(PezError, match="data has 2 examples of class '0', not 3"):
        few_shot(make_examples(4, 0), 3, CLASSES, 0)
    with pytest.raises(PezError, match="data has 0 examples of class '1'"):
        few_shot(Examples(("a",), (0,)), 1, CLASSES, 0)
