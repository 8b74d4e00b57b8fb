"""A language model over embeddings: its vocabulary, and what it has read."""

import torch

from pez_core.language.memory import Library, Reading


def test_words_are_pieces_that_begin_with_a_space(model):
    words = {model.vocabulary.texts[token] for token in model.vocabulary.words}
    assert {"movie", "great", "maybe"} <= words
    for token in model.vocabulary.words:
        text = model.vocabulary.texts[token]
        assert text.isascii() and text.isalpha()
        assert model.vocabulary.encode(f"so {text}")[-1] == token


def test_special_tokens_are_never_allowed(model):
    allowed = set(model.vocabulary.allowed_ids("all").tolist())
    assert 0 not in allowed and allowed >= model.vocabulary.words


def test_texts_fall_out_of_the_library_for_lack_of_room_and_are_read_again():
    reads = []

    def read(texts):
        reads.extend(texts)
        return [
            Reading(((torch.zeros(1, len(text), 1), torch.zeros(1, len(text), 1)),), torch.zeros(1)) for text in texts
        ]

    library = Library(read, kept_bytes=40)
    for text in ((1, 2), (3, 4), (1, 2), (5, 6), (3, 4)):
        (reading,) = library([text])
        assert reading.layers[0][0].shape[1] == 2
    assert reads == [(1, 2), (3, 4), (5, 6), (3, 4)]
    library.forget()
    library([(5, 6)])
    assert reads[-1] == (5, 6)
