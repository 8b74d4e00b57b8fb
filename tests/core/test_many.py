"""Many searches side by side, which find what each finds alone."""

import threading
from dataclasses import replace

import pytest
import torch

from pez_core import SearchSettings, invert
from pez_core.encoders.remembering import OVERHEAD, RememberingTower, remembering
from pez_core.many import invert_many, side_by_side

QUICK = SearchSettings(language=0, tokens=4, steps=8, candidates=2, refinement=0.25)
KEPT = 8


@pytest.fixture
def tower(encoder):
    """A tower that remembers eight texts."""
    return RememberingTower(encoder.tower, KEPT * (OVERHEAD + encoder.tower.encode_ids([()]).nbytes))


@pytest.fixture
def read(tower, monkeypatch):
    """The texts that the tower had to read."""
    inner, texts = tower._wrapped.encode_ids, []
    monkeypatch.setattr(tower._wrapped, "encode_ids", lambda prompts: texts.extend(prompts) or inner(prompts))
    return texts


def texts(first, last):
    return [(320, 1000 + number) for number in range(first, last)]


@pytest.mark.parametrize("settings", [SearchSettings(seed=3), replace(QUICK, seed=3)], ids=["guided", "descent"])
def test_pictures_get_the_texts_in_their_order_that_each_gets_alone(encoder, contents, settings):
    pictures = [contents.features[place : place + 1] for place in range(5)]
    many = list(invert_many(encoder, pictures, settings))
    alone = [invert(encoder, picture, settings) for picture in pictures]
    assert [found.text for found in many] == [found.text for found in alone]
    assert [found.alternatives for found in many] == [found.alternatives for found in alone]
    assert [found.similarity for found in many] == pytest.approx([found.similarity for found in alone], abs=1e-5)


def test_searches_run_at_once_and_none_waits_for_a_slow_one_to_begin():
    both = threading.Barrier(2, timeout=20)
    assert list(side_by_side(lambda each: (both.wait(), each)[1], range(6), 2)) == list(range(6))


def test_pictures_are_taken_as_searches_need_them():
    taken = []
    given = (taken.append(number) or number for number in range(100))
    found = side_by_side(lambda each: each, given, 3)
    assert next(found) == 0 and len(taken) == 4
    found.close()
    assert len(taken) == 4


def test_a_search_that_fails_says_so_and_the_threads_are_given_back():
    before = torch.get_num_threads()
    found = side_by_side(lambda each: 1 // each, [1, 0], 2)
    assert next(found) == 1
    with pytest.raises(ZeroDivisionError):
        next(found)
    assert torch.get_num_threads() == before


def test_each_search_has_one_thread_for_its_sums():
    assert list(side_by_side(lambda _: torch.get_num_threads(), range(4), 2)) == [1] * 4


def test_features_are_those_of_the_tower_in_the_order_asked_for(encoder, tower):
    asked = [(320,), (), (320, 2368), (320,), (1,) * 100]
    for _ in range(2):
        assert torch.allclose(tower.encode_ids(asked), encoder.tower.encode_ids(asked), atol=1e-5)


def test_a_text_is_read_once_while_it_is_among_the_latest(tower, read):
    tower.encode_ids([*texts(0, KEPT), *texts(0, 2)])
    tower.encode_ids(texts(0, KEPT))
    assert read == texts(0, KEPT)
    tower.encode_ids(texts(KEPT, KEPT + 1))
    tower.encode_ids(texts(1, KEPT + 1))
    assert read == texts(0, KEPT + 1)
    tower.encode_ids(texts(0, 1))
    assert read == [*texts(0, KEPT + 1), *texts(0, 1)]


def test_more_texts_than_it_remembers_are_read_right(encoder, tower):
    asked = texts(0, 3 * KEPT)
    for _ in range(2):
        assert torch.allclose(tower.encode_ids(asked), encoder.tower.encode_ids(asked), atol=1e-5)
    assert len(tower._places) == len(tower._texts) == KEPT == len(tower._features)


def test_threads_share_it(encoder, tower):
    asked = [texts(start, start + 5) for start in range(40)]
    found = list(side_by_side(tower.encode_ids, asked * 3, 4))
    for features, some in zip(found, asked * 3):
        assert torch.allclose(features, encoder.tower.encode_ids(some), atol=1e-5)
    assert all(tower._texts[place] == ids for ids, place in tower._places.items())


def test_all_else_is_the_towers_own(encoder):
    mine, its = remembering(encoder, 1).tower, encoder.tower
    for name in ("name", "start_id", "end_id", "context_length", "logit_scale", "width", "device", "window", "windowed",
                 "queued", "capturable"):  # fmt: skip
        assert getattr(mine, name) == getattr(its, name), name
    assert mine.tables[0] is its.tables[0]
