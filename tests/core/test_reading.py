"""What the search does with what a tower gives: when it is read, and when it is no number."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
import torch

from pez_core import Encoder, PezError, SearchSettings, distill, invert, tasks
from pez_core.device import read_ahead
from pez_core.device.read_ahead import MOST_UNREAD, UNREAD_SECONDS
from pez_core.encoders.tower import TextTower

SETTINGS = SearchSettings(language=0, tokens=4, steps=40, candidates=2, refinement=0, seed=3)


class Wrapped(TextTower):
    """A tower that hands everything to another one."""

    def __init__(self, tower: TextTower) -> None:
        self.name, self.start_id, self.end_id = tower.name, tower.start_id, tower.end_id
        self.context_length = tower.context_length
        self._tower = tower

    tables = property(lambda self: self._tower.tables)
    width = property(lambda self: self._tower.width)

    def remember(self, ids: Sequence[int]):
        return self._tower.remember(ids)

    def encode(self, embedded, ends, past=()):
        return self._tower.encode(embedded, ends, past)


class Queued(Wrapped):
    """A tower whose steps are read together, as on a GPU, and take so many seconds."""

    queued = True

    def __init__(self, tower: TextTower, seconds: float) -> None:
        super().__init__(tower)
        self.seconds, self.steps = seconds, 0

    def encode(self, embedded, ends, past=()):
        if embedded.requires_grad:
            self.steps += 1
            time.sleep(self.seconds)
        return super().encode(embedded, ends, past)


class Broken(Wrapped):
    """A tower that gives NaN from some step on."""

    def __init__(self, tower: TextTower, good_steps: int) -> None:
        super().__init__(tower)
        self._left = good_steps

    def encode(self, embedded, ends, past=()):
        if embedded.requires_grad:
            self._left -= 1
        features = super().encode(embedded, ends, past)
        return features if self._left >= 0 else features * float("nan")


def on(encoder: Encoder, tower: TextTower) -> Encoder:
    return Encoder(tower, encoder.vocabulary, encoder.image_features)


def unread_steps(encoder, contents, seconds: float) -> list[int]:
    """How many steps were taken between two looks at what they found."""
    tower, taken = Queued(encoder.tower, seconds), []

    def look(progress):
        if tower.steps != sum(taken):
            taken.append(tower.steps - sum(taken))

    invert(on(encoder, tower), contents.features[:1], SETTINGS, on_step=look)
    assert sum(taken) >= SETTINGS.steps
    return taken


def test_slow_steps_are_read_before_anybody_waits_long(encoder, contents):
    """A machine that is slower than the sleep only makes them fewer."""
    assert max(unread_steps(encoder, contents, UNREAD_SECONDS / 2)) <= 2


def test_steps_that_are_fast_enough_are_read_together(encoder, contents, monkeypatch):
    monkeypatch.setattr(read_ahead, "UNREAD_SECONDS", 1000.0)
    taken = unread_steps(encoder, contents, 0.0)
    assert taken == [1, MOST_UNREAD, MOST_UNREAD, MOST_UNREAD], "the last go on past the end, unseen"


@pytest.mark.parametrize(("seconds", "together"), [(0.0, MOST_UNREAD), (0.008, 12), (0.03, 3), (0.06, 1), (0.5, 1)])
def test_as_many_steps_go_unread_as_take_a_tenth_of_a_second(monkeypatch, seconds, together):
    """By a clock that only a step moves on: one alone at first, then so many, and so many again."""
    now, groups = [100.0], []

    def step():
        now[0] += seconds
        groups[-1] += 1
        return [torch.zeros(1)]

    monkeypatch.setattr(read_ahead, "time", SimpleNamespace(monotonic=lambda: now[0]))
    steps = read_ahead.ReadAhead(step)
    for _ in range(1 + 2 * together):
        groups.append(0)
        steps()
    assert [count for count in groups if count] == [1, together, together]


def test_when_steps_are_read_changes_nothing_that_is_found(encoder, contents):
    plain = invert(encoder, contents.features[:1], SETTINGS)
    queued = invert(on(encoder, Queued(encoder.tower, 0.0)), contents.features[:1], SETTINGS)
    assert (queued.text, queued.history) == (plain.text, plain.history)


def test_a_tower_that_gives_nan_is_named(encoder, contents):
    with pytest.raises(PezError, match="model 'embedded' gives NaN for text; check its file, or load it in fp32"):
        invert(on(encoder, Broken(encoder.tower, 0)), contents.features[:1], SETTINGS)


def test_what_was_found_before_the_nan_is_kept(encoder, contents):
    found = invert(on(encoder, Broken(encoder.tower, 5)), contents.features[:1], SETTINGS)
    assert len(found.history) == SETTINGS.steps and found.history[5:] == (found.history[5],) * (SETTINGS.steps - 5)


def test_weights_are_brought_before_text_is_read(encoder, contents):
    """A host may have taken them away while pictures were encoded."""
    here = False

    class Elsewhere(Wrapped):
        def encode(self, embedded, ends, past=()):
            assert here, "text is read from weights that are elsewhere"
            return super().encode(embedded, ends, past)

    def bring():
        nonlocal here
        here = True

    moved = Encoder(Elsewhere(encoder.tower), encoder.vocabulary, encoder.image_features, bring)
    settings = SearchSettings(language=0, tokens=2, steps=1, candidates=1, refinement=0)
    for work in (
        lambda: invert(moved, contents.features[:1], settings),
        lambda: distill(moved, "a red rocket", settings),
        lambda: tasks.concat(moved, ["a", "b"]),
        lambda: tasks.score(moved, "a red rocket", contents.features[:1]),
        lambda: moved.encode_text("a red rocket"),
    ):
        here = False
        work()
