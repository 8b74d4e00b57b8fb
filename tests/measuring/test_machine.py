"""Measuring: the most memory that a function held, and functions timed in turn."""

import torch

from benchmarks import machine

CPU = torch.device("cpu")
MEGABYTE = 2**20


def test_peak_counts_what_was_held_at_one_time():
    def work():
        for _ in range(3):
            block = torch.zeros(8 * MEGABYTE, dtype=torch.uint8)
            del block

    peak = machine.peak_allocated_bytes(work, CPU)
    assert 8 * MEGABYTE <= peak < 9 * MEGABYTE


def test_resident_memory_sees_the_whole_process():
    resident = machine.peak_resident_bytes(lambda: torch.ones(64 * MEGABYTE, dtype=torch.uint8).sum())
    assert resident is None or resident >= 60 * MEGABYTE


def test_works_are_called_in_turn_and_the_first_round_does_not_count():
    called = []
    taken = machine.in_turn({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, 3, CPU)
    assert called == ["a", "b"] * 4
    assert set(taken) == {"a", "b"} and all(seconds >= 0 for seconds in taken.values())
