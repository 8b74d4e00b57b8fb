"""Verbalizer: classes and their words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pez_core import PezError
from pez_core.language import Verbalizer

words = st.text("abcdefghij", min_size=1, max_size=5)


@given(st.dictionaries(words, st.lists(words, min_size=1, max_size=3), min_size=2, max_size=5))
def test_what_is_written_is_read_back(classes):
    distinct = {name: tuple(f"{name}-{word}-{at}" for at, word in enumerate(some)) for name, some in classes.items()}
    verbalizer = Verbalizer(distinct)
    assert Verbalizer.parse(str(verbalizer)) == verbalizer


def test_spaces_and_empty_parts_do_no_harm():
    verbalizer = Verbalizer.parse(" 0 = terrible | bad , ,1= great=good ,")
    assert verbalizer.words == {"0": ("terrible", "bad"), "1": ("great=good",)}
    assert verbalizer.classes == ("0", "1") and str(verbalizer) == "0=terrible|bad,1=great=good"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0=terrible", "has fewer than two classes"),
        ("0=terrible,1=", "has no word for class '1'"),
        ("0=great,1=great", "has one word for two classes"),
        ("0=bad,1=great|", "has no word for class '1'; write it as 1=word"),
        ("0=bad|bad,1=great", "has one word for two classes; give each its own"),
        ("", "has fewer than two classes; write it as 0=terrible,1=great"),
        ("0=bad,great", "is not of the form 0=terrible,1=great; write class=word pairs"),
        ("great,terrible", "is not of the form 0=terrible,1=great"),
        ("0=bad,0=terrible,1=great", r"names a class twice; separate its words by \| as in 0=terrible\|bad"),
    ],
)
def test_what_cannot_be_used_is_refused(text, message):
    with pytest.raises(PezError, match=message):
        Verbalizer.parse(text)
