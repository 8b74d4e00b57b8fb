"""What a language model has read: kept while there is room, and put side by side for the next tokens."""

import pytest
import torch

from pez_core.language.prefix_cache import READ_TOGETHER, CachedPrefix, PrefixCache, gather

CPU = torch.device("cpu")


def prefix(length, value=1.0, layers=2):
    """Keys (1, P, 1) that count up from `value`, and their negatives as values."""
    keys = value + torch.arange(length).float()[None, :, None]
    return CachedPrefix(tuple((keys + 100 * layer, -keys - 100 * layer) for layer in range(layers)), torch.ones(1))


@pytest.fixture
def read():
    """Reads texts, and remembers in what company."""

    def read(texts):
        read.calls.append(list(texts))
        return [prefix(len(text), float(text[0])) for text in texts]

    read.calls = []
    return read


def test_texts_fall_out_for_lack_of_room_and_are_read_again(read):
    cache = PrefixCache(read, kept_bytes=2 * prefix(2).bytes)
    for text in ((1, 2), (3, 4), (1, 2), (5, 6), (3, 4)):
        (found,) = cache([text])
        assert found.layers[0][0][0, 0] == text[0]
    assert read.calls == [[(1, 2)], [(3, 4)], [(5, 6)], [(3, 4)]]
    cache([(5, 6)])
    assert len(read.calls) == 4, "what was used last stays"


def test_what_was_forgotten_makes_room(read):
    cache = PrefixCache(read, kept_bytes=2 * prefix(2).bytes)
    cache([(1, 2), (3, 4)])
    cache.forget()
    cache([(1, 2), (3, 4)])
    assert len(read.calls) == 2
    cache([(1, 2), (3, 4)])
    assert len(read.calls) == 2, "there is room for both, as before"


def test_a_text_too_large_to_keep_is_read_all_the_same(read):
    cache = PrefixCache(read, kept_bytes=1)
    for _ in range(2):
        assert cache([(7, 8)])[0].layers[0][0][0, 0] == 7
    assert len(read.calls) == 2


def test_prefixes_come_in_the_order_asked_for_and_each_text_is_read_once(read):
    cache = PrefixCache(read)
    texts = [(5, 1, 1), (2,), (5, 1, 1), (9, 9)]
    found = cache(texts)
    assert [each.layers[0][0][0, 0].item() for each in found] == [5.0, 2.0, 5.0, 9.0]
    assert read.calls == [[(2,), (9, 9), (5, 1, 1)]], "texts of like length are read together"
    cache([(9, 9), (4,)])
    assert read.calls[1:] == [[(4,)]]


def test_few_texts_are_read_together(read):
    PrefixCache(read)([(number,) for number in range(2 * READ_TOGETHER + 1)])
    assert [len(call) for call in read.calls] == [READ_TOGETHER, READ_TOGETHER, 1]


def test_bytes_are_those_of_all_keys_and_values():
    assert prefix(3).bytes == 3 * 4 * 2 * 2
    assert CachedPrefix((), None).bytes == 0


def test_texts_stand_side_by_side_with_the_room_on_the_left():
    past = gather([prefix(1, 5.0), CachedPrefix((), None), prefix(3, 7.0)], CPU)
    assert past.lengths.tolist() == [1, 0, 3] and len(past.layers) == 2
    keys, values = past.layers[1]
    assert keys.shape == (3, 1, 3, 1)
    assert keys[:, 0, :, 0].tolist() == [[0, 0, 105], [0, 0, 0], [107, 108, 109]]
    assert values[:, 0, :, 0].tolist() == [[0, 0, -105], [0, 0, 0], [-107, -108, -109]]


def test_nothing_read_is_no_layers():
    past = gather([CachedPrefix((), None)] * 3, CPU)
    assert past.layers == () and past.lengths.tolist() == [0, 0, 0]


def test_texts_are_repeated_in_turn_for_every_candidate():
    past = gather([prefix(2, 1.0), prefix(1, 9.0)], CPU).repeated(2)
    assert past.lengths.tolist() == [2, 1, 2, 1]
    assert past.layers[0][0].shape == past.layers[0][1].shape == (4, 1, 2, 1)
    assert past.layers[0][0][:, 0, :, 0].tolist() == [[1, 2], [0, 9], [1, 2], [0, 9]]
    assert past.layers[0][1][:, 0, :, 0].tolist() == [[-1, -2], [0, -9], [-1, -2], [0, -9]]
