"""Texts that take more than one window of 75 tokens."""

from dataclasses import replace

from pez_core import concat, score
from pez_core.encoders.joint import JointTower
from pez_core.encoders.windows import window_note, windows


def note_on(encoder, text: str) -> str:
    return window_note(encoder, encoder.vocabulary.encode(text))


def test_a_text_that_fits_needs_no_note(encoder):
    assert note_on(encoder, "word " * 75) == ""


def test_a_longer_one_says_how_many_windows_it_takes_and_what_is_lost(encoder):
    note = note_on(encoder, "word " * 75 + "red rocket")
    assert "takes 2 windows of 75 tokens" in note
    assert note.endswith("lose the last 2 tokens: red rocket")
    assert note_on(encoder, "word " * 151).startswith("The text takes 3 windows")


def test_windows_are_as_long_as_the_tower_reads(encoder):
    class Long:
        """An encoder of 248 positions, as LongCLIP has."""

        tower = type("Tower", (), {"window": 246})

    assert [len(window) for window in windows(encoder, range(160))] == [75, 75, 10]
    assert [len(window) for window in windows(Long, range(247))] == [246, 1]


def test_of_towers_that_read_unlike_much_the_shortest_is_named(encoder):
    longer = object.__new__(type(encoder.tower))
    longer.__dict__ |= {**encoder.tower.__dict__, "context_length": 248, "name": "long"}
    uneven = replace(encoder, tower=JointTower([longer, encoder.tower]))
    assert "takes 2 windows of 75 tokens in embedded; " in note_on(uneven, "word " * 80)
    assert "in embedded" not in note_on(replace(encoder, tower=JointTower([encoder.tower] * 2)), "word " * 80)


def test_many_lost_words_are_cut_short(encoder):
    assert note_on(encoder, "word " * 90).endswith("tokens: word word word word word word …")


def test_results_carry_the_note(encoder, contents):
    assert concat(encoder, ["word " * 50, "rocket " * 50]).notes[0].startswith("The text takes 2 windows")
    assert score(encoder, "rocket", contents.features[:1]).notes == ()
