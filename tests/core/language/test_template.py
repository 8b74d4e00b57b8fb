"""Template: where text, prompt and label stand."""

import pytest

from pez_core import PezError
from pez_core.language import Template


def test_the_prompt_stands_after_the_text_unless_told_otherwise():
    assert Template("{text} It was {label}").fill("Fun .", "oh so") == "Fun . oh so It was"
    assert Template("{prompt} {text} It was {label}").fill("Fun .", "oh so") == "oh so Fun . It was"


@pytest.mark.parametrize(
    ("pattern", "filled", "head", "label_space"),
    [
        ("{text} {prompt} It was {label}", "Fun . oh so It was", "Fun .", " "),
        ("{text} It was {label}", "Fun . oh so It was", "Fun .", " "),
        ("{prompt} {text} It was {label}", "oh so Fun . It was", "", " "),
        ("Text: {text} Tag: {prompt}\n{label}", "Text: Fun . Tag: oh so", "Text: Fun . Tag:", "\n"),
        ("{text}{prompt}:{label}", "Fun .oh so:", "Fun .", ""),
        ("It: {text} {label}  ", "It: Fun . oh so", "It: Fun .", " "),
    ],
)
def test_text_prompt_and_label_stand_where_the_pattern_says(pattern, filled, head, label_space):
    template = Template(pattern)
    assert template.fill(" Fun . ", "oh so") == filled
    assert (template.head("  Fun . "), template.label_space) == (head, label_space)


def test_without_a_prompt_what_touches_it_stays():
    assert Template("{text} ({prompt}) {label}").fill("Fun", "") == "Fun ()"
    assert Template("{text} {prompt} {label}").fill("Fun", "") == "Fun"


@pytest.mark.parametrize("pattern", ["{text} {prompt} It was {label}", "{prompt} {text} It was {label}"])
def test_without_a_prompt_no_gap_is_left(pattern):
    assert Template(pattern).fill("Fun .", "") == "Fun . It was"


def test_braces_in_a_text_are_left_alone():
    assert Template().fill("what {prompt} is", "oh") == "what {prompt} is oh It was"


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("It was {label}", r"has no \{text\}; say where the text stands"),
        ("{label} {text}", r"does not end with \{label\}; put the label word last"),
        ("{text} {prompt} {prompt} {label}", "names a place twice; name each once"),
        ("{text} {label} {label}", "names a place twice; name each once"),
        ("{text} {label}.", r"does not end with \{label\}"),
        ("{text} {text} {label}", "names a place twice; name each once"),
    ],
)
def test_patterns_that_cannot_be_used_are_refused(pattern, message):
    with pytest.raises(PezError, match=message):
        Template(pattern)
