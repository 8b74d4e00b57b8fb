"""A device that runs out of memory: fewer candidates, the same search."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
import torch

from pez_core import Encoder, PezError, SearchSettings, invert
from pez_core.device.out_of_memory import is_out_of_memory
from pez_core.encoders.tower import TextTower

SETTINGS = SearchSettings(language=0, tokens=4, steps=12, candidates=8, refinement=0.5, seed=3)


class Cramped(TextTower):
    """A tower on a device that has room for so many sequences, and loses half of it at some call."""

    def __init__(self, tower: TextTower, room: int, shrinks_at: int = 0) -> None:
        self.name, self.start_id, self.end_id = tower.name, tower.start_id, tower.end_id
        self.context_length = tower.context_length
        self._tower, self._room, self._left = tower, room, shrinks_at

    tables = property(lambda self: self._tower.tables)
    width = property(lambda self: self._tower.width)

    def remember(self, ids):
        return self._tower.remember(ids)

    def encode(self, embedded, ends, past=()):
        self._left -= 1
        if len(embedded) > self._room and self._left < 0:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self._tower.encode(embedded, ends, past)


def cramped(encoder, room: int, shrinks_at: int = 0) -> Encoder:
    return Encoder(Cramped(encoder.tower, room, shrinks_at), encoder.vocabulary, encoder.image_features)


def test_half_of_the_candidates_go_on_and_it_is_said_once(encoder, contents, caplog):
    with caplog.at_level(logging.WARNING):
        found = invert(cramped(encoder, 4), contents.features[:1], replace(SETTINGS, refinement=0))
    expected = invert(encoder, contents.features[:1], replace(SETTINGS, refinement=0, candidates=8))
    assert found.notes == ("Not enough memory for all candidates; 4 of them went on.",)
    assert len(found.history) == len(expected.history) == 12
    assert caplog.text.count("not enough memory") == 1


def test_what_goes_on_is_what_it_was(encoder, contents):
    """Candidates do not influence each other: the first four of eight find what they find anyway."""
    found = invert(cramped(encoder, 4, shrinks_at=7), contents.features[:1], replace(SETTINGS, refinement=0))
    whole = invert(encoder, contents.features[:1], replace(SETTINGS, refinement=0, steps=6))
    assert found.history[:6] == pytest.approx(whole.history, abs=1e-5)
    assert len(found.history) == 12


def test_it_halves_until_the_candidates_fit(encoder, contents):
    found = invert(cramped(encoder, 1), contents.features[:1], replace(SETTINGS, refinement=0, steps=3))
    assert found.text and found.notes == ("Not enough memory for all candidates; 1 of them went on.",)


def test_refinement_judges_its_swaps_in_smaller_parts(encoder, contents):
    few = invert(cramped(encoder, 20), contents.features[:1], SETTINGS)
    expected = invert(encoder, contents.features[:1], SETTINGS)
    assert few.text == expected.text and few.similarity == pytest.approx(expected.similarity, abs=1e-5)


def test_pictures_are_encoded_in_smaller_parts(encoder):
    sizes = []

    def image_features(pictures):
        sizes.append(len(pictures))
        if len(pictures) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return encoder.image_features(pictures)

    pictures = list(torch.rand(10, 8, 8, 3, generator=torch.Generator().manual_seed(0)))
    found = Encoder(encoder.tower, encoder.vocabulary, image_features).encode_images(pictures)
    assert torch.allclose(found, encoder.encode_images(pictures), atol=1e-5)
    assert sizes[0] == 10 and sizes[-3:] == [4, 4, 2]


def test_one_candidate_without_room_is_a_clear_error_and_the_model_is_still_usable(encoder, contents):
    tower = Cramped(encoder.tower, 0)
    with pytest.raises(PezError, match="candidates is 1 and the device is out of memory; shorten prompt_length"):
        invert(Encoder(tower, encoder.vocabulary, encoder.image_features), contents.features[:1], SETTINGS)
    tower._room = 100
    assert invert(Encoder(tower, encoder.vocabulary, encoder.image_features), contents.features[:1], SETTINGS).text


def test_other_errors_are_not_taken_for_it(encoder, contents, monkeypatch):
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert is_out_of_memory(RuntimeError("MPS backend out of memory"))
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"))
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    monkeypatch.setattr(TextTower, "encode_ids", lambda *_: torch.zeros(1, 1))
    broken = Cramped(encoder.tower, 100)
    monkeypatch.setattr(broken, "encode", lambda *_: (_ for _ in ()).throw(RuntimeError("broken")))
    with pytest.raises(RuntimeError, match="broken"):
        invert(Encoder(broken, encoder.vocabulary, encoder.image_features), contents.features[:1], SETTINGS)
