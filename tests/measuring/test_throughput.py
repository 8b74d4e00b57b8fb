"""Pictures an hour: the better setting counts for one at a time, and both sides are asked for the same pictures."""

import torch

from benchmarks import throughput
from benchmarks.tables import throughput as tables

TWO = throughput.Case("one step", throughput.EMBEDDED, 2, (2, 1))


def done(seconds, *texts):
    return throughput.Run([0.5] * len(texts), list(texts), seconds, 2, 3 << 20)


def test_one_at_a_time_gets_its_better_setting(monkeypatch):
    runs = {None: done(2.0, "a", "b"), 1: done(4.0, "a", "c"), 2: done(6.0, "a", "b")}
    monkeypatch.setattr(throughput, "_apart", lambda case, threads: runs[threads])
    row = throughput.row(TWO)
    assert (row.pictures_per_hour, row.one_at_a_time_per_hour, row.one_at_a_time_threads) == (3600, 1800, 1)
    assert (row.same_texts, row.workers, row.peak_bytes) == (1, 2, 3 << 20)


def test_both_sides_find_the_same_for_the_same_pictures():
    before = torch.get_num_threads()
    try:
        many, alone = throughput.run(TWO, None), throughput.run(TWO, 1)
    finally:
        torch.set_num_threads(before)
    assert many.texts == alone.texts and len(many.texts) == 2
    assert many.peak_bytes > 1 << 20


def test_pictures_after_the_first_eighty_are_like_them_and_not_the_same():
    many = list(throughput.targets(throughput.EMBEDDED, 82))
    assert all(0.8 < (many[place] @ many[place + 80].T).item() < 0.9999 for place in (0, 1))
    again = list(throughput.targets(throughput.EMBEDDED, 82))
    assert torch.equal(torch.cat(many), torch.cat(again))


def test_the_least_gain_is_told_first():
    def row(engine, many, alone):
        return {
            "engine": engine, "model": "embedded", "pictures": 4, "pictures_per_hour": many,
            "one_at_a_time_per_hour": alone, "mean_similarity": 0.5, "one_at_a_time_similarity": 0.5, "same_texts": 4,
            "peak_bytes": 2 << 20, "one_at_a_time_peak_bytes": 1 << 20,
        }  # fmt: skip

    rows = [row("guided", 300.0, 100.0), row("descent", 200.0, 100.0), {**row("one step", 3600.0, None)}]
    rates = tables.rates({"rows": rows}).splitlines()
    assert [line.split(" | ")[0:4:3] for line in rates[2:]] == [["| descent", "2.00"], ["| guided", "3.00"]]
    assert tables.flat({"rows": rows}).splitlines()[2:] == ["| 4 | 1000.0 | 2 |"]
