"""Vocabulary: ids and text, which ids may be used, and the round trip."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pez_core import PezError
from pez_core.encoders.clip_vocabulary import ClipVocabulary
from pez_core.vocabulary import PROMPT_SYNTAX, TOKEN_FILTERS, Vocabulary, blocked_phrases, spells_syntax

vocabulary = ClipVocabulary()


def test_it_is_clips_vocabulary():
    assert len(vocabulary.texts) == 49408
    made = ClipVocabulary()
    assert (made.start_id, made.end_id) == (49406, 49407)
    assert vocabulary.encode("a photo of a cat") == [320, 1125, 539, 320, 2368]


@settings(deadline=None)
@given(st.lists(st.sampled_from(vocabulary.allowed_ids("ascii words").tolist()), min_size=1, max_size=75))
def test_ascii_words_survive_the_round_trip_in_any_order(ids):
    assert vocabulary.survives(ids)


@settings(deadline=None)
@given(st.text())
def test_decoding_what_was_encoded_encodes_to_the_same_ids(text):
    once = vocabulary.decode(vocabulary.encode(text))
    twice = vocabulary.decode(vocabulary.encode(once))
    assert vocabulary.encode(twice) == vocabulary.encode(once) or "\ufffd" in once + twice


def test_some_ids_do_not_survive_the_round_trip():
    pieces = [vocabulary.encode("sun")[0], vocabulary.encode("flower")[0]]
    without_space = [token for token in range(49406) if vocabulary.texts[token] == "sun" and token not in pieces]
    assert not vocabulary.survives([without_space[0], pieces[1]])


@pytest.mark.parametrize("syntax", list("(){}|/*\\"))
def test_no_filter_allows_the_characters_of_comfyuis_prompt_syntax(syntax):
    assert any(text and syntax in text for text in vocabulary.texts)
    for token_filter in TOKEN_FILTERS:
        assert not any(syntax in vocabulary.texts[token] for token in vocabulary.allowed_ids(token_filter).tolist())


@pytest.mark.parametrize("token_filter", TOKEN_FILTERS)
def test_no_filter_allows_special_tokens_or_prompt_syntax(token_filter):
    ids = vocabulary.allowed_ids(token_filter).tolist()
    assert ids == sorted(set(ids))
    assert not {vocabulary.start_id, vocabulary.end_id} & set(ids)
    assert not any(PROMPT_SYNTAX & set(vocabulary.texts[token]) for token in ids)


def test_filters_grow_from_words_to_everything():
    words, printable, everything = (set(vocabulary.allowed_ids(name).tolist()) for name in TOKEN_FILTERS)
    assert words < printable < everything
    assert all(vocabulary.texts[token].isascii() and vocabulary.texts[token].isalpha() for token in words)
    assert all(vocabulary.texts[token].isprintable() for token in printable)


@pytest.mark.parametrize("word", ["cat", "Cat", " CAT "])
def test_blocked_words_are_not_allowed_in_any_case(word):
    allowed = {vocabulary.texts[token] for token in vocabulary.allowed_ids("all", [word]).tolist()}
    assert "cat" not in allowed
    assert "category" in allowed


def test_blocked_phrases_are_found_across_words_but_not_inside_them():
    pattern = blocked_phrases(["ice cream", "red", "ice", "c++", "a.b"])
    assert pattern.search("ice") and pattern.search("c++") and pattern.search("a.b") and not pattern.search("axb")
    assert not pattern.search("redden") and not pattern.search("scarred")
    assert pattern.search("an Ice  Cream cone") and pattern.search("RED wine")
    assert not pattern.search("nice creams") and not pattern.search("hundreds")
    assert not blocked_phrases(["ice cream"]).search("ice creamy") and not pattern.search("reddish")
    assert blocked_phrases(["ice cream"]).search("an Ice  Cream cone")
    assert not blocked_phrases([" "]).search("anything")


@pytest.mark.parametrize(
    ("word", "found", "left"),
    [
        ("shark", ("sharks", "Shark's", "shark 's", "shark ' s"), ("sharkskin", "sharked")),
        ("fox", ("foxes",), ("foxy",)),
        ("berry", ("berries", "berry's"), ("berrylike", "berr")),
        ("toy", ("toys",), ("toies",)),
        ("ha", ("ha",), ("has", "haes")),
        ("3d", ("3d",), ("3ds",)),
        ("c++", ("c++",), ("c++s",)),
        ("ab3", ("ab3",), ("ab3s",)),
        ("a3b", ("a3bs",), ()),
        ("FOX", ("fox", "foxes"), ()),
        ("BERRY", ("berries",), ()),
        ("BOXY", ("boxies",), ()),
        ("TOY", ("toys",), ()),
    ],
)
def test_a_blocked_word_blocks_its_plural_and_possessive(word, found, left):
    pattern = blocked_phrases([word])
    assert pattern.search(word) and all(pattern.search(f"one {form} here") for form in found)
    assert not any(pattern.search(f"one {form} here") for form in left)


def test_embeddings_weights_choices_and_comments_are_syntax():
    for text in ("(red:1.2)", "{a|b}", "/* red", "// red", "a\\", "embedding:bad", "red Embedding:x"):
        assert spells_syntax(text)
    assert not spells_syntax("embedding of red: 1.2, [blue] <green>")


class Few(Vocabulary):
    """A vocabulary of a few texts that are read word by word."""

    texts = (None, "cat", "Ice", "(", "a)b", "\\", "", "\a", "\ufffd", "é", "cream", "don't", "cat")
    words = frozenset({1, 10})

    def encode(self, text):
        return [self.texts.index(word) for word in text.split()]

    def decode(self, ids):
        return " ".join(self.texts[token] for token in ids)


@pytest.mark.parametrize(
    ("token_filter", "blocklist", "ids"),
    [
        ("ascii words", [], [1, 10]),
        ("printable", [], [1, 2, 9, 10, 11, 12]),
        ("all", [], [1, 2, 6, 7, 8, 9, 10, 11, 12]),
        ("ascii words", ["ice", "CREAM"], [1]),
        ("printable", ["ice", "cat cream"], [1, 9, 10, 11, 12]),
        ("all", ["cat", " "], [2, 6, 7, 8, 9, 10, 11]),
        ("all", ["don", "é"], [1, 2, 6, 7, 8, 10, 12]),
    ],
)
def test_which_ids_a_filter_and_a_blocklist_leave(token_filter, blocklist, ids):
    allowed = Few().allowed_ids(token_filter, blocklist)
    assert allowed.tolist() == ids and allowed.dtype == torch.int64


def test_without_a_filter_words_are_what_is_left():
    assert Few().allowed_ids().tolist() == [1, 10]


def test_the_round_trip_is_by_ids():
    assert Few().survives([1, 10]) and Few().survives([]) and not Few().survives([12])


def test_an_unknown_filter_and_a_blocklist_of_everything_are_refused():
    with pytest.raises(
        PezError, match=r"^token filter 'words' is unknown; choose one of ascii words, printable, all\.$"
    ):
        Few().allowed_ids("words")
    with pytest.raises(
        PezError, match=r"^blocklist leaves no token to choose from; take words out of it or widen the token filter\.$"
    ):
        Few().allowed_ids("ascii words", ["cat", "cream"])


def test_text_is_decoded_without_spaces_around_or_twice():
    spaces = [token for token in range(49406) if vocabulary.texts[token] == ""]
    assert vocabulary.decode([320, *spaces[:2], 2368, *spaces[:1]]) == "a cat"


def test_another_tokenizer_may_do_the_encoding():
    shouting = ClipVocabulary(lambda text: [1, 2, 3])
    assert shouting.encode("anything") == [1, 2, 3]
    assert not shouting.survives([320])
