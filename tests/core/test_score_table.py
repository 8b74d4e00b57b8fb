"""A text against pictures, by several models side by side."""

import pytest

from pez_core import PezError
from pez_core.report.score_table import score_table


def test_the_table_has_a_line_for_each_picture_and_each_token(encoder, contents):
    scored, table = score_table("glossy red helmet", [(encoder, contents.features[:3])])
    lines = table.splitlines()
    assert [line.split()[0] for line in lines if line] == [
        "picture", "1", "2", "3", "mean", "token", "glossy", "red", "helmet",
    ]  # fmt: skip
    similarities = (encoder.encode_text("glossy red helmet") @ contents.features[:3].T)[0].tolist()
    assert [float(line.split()[1]) for line in lines[1:4]] == pytest.approx(similarities, abs=5e-4)
    assert scored.similarity == pytest.approx(sum(similarities) / 3, abs=1e-5)


def test_models_stand_side_by_side(encoder, contents):
    _, table = score_table("red helmet", [(encoder, contents.features[:1]), (encoder, contents.features[1:2])])
    first, second = table.splitlines()[1].split()[1:]
    assert first != second
    assert table.count("helmet") == 2


def test_an_empty_text_is_refused(encoder, contents):
    with pytest.raises(PezError, match="text to score is empty"):
        score_table(" ", [(encoder, contents.features[:1])])
