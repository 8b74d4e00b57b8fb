"""A run: its steps, its time, progress, and the ways to end it."""

from types import SimpleNamespace

import pytest

from pez_core.optimiser import run as module
from pez_core.optimiser.run import Progress, Run


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on only where a test says so."""
    clock = SimpleNamespace(now=1000.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(module, "time", clock)
    return clock


def steps_of(run, *limits):
    """The steps that a run takes."""
    return [run.step for _ in iter(lambda: run.next(*limits), False)]


def test_a_run_takes_its_steps_and_counts_them_from_one():
    run = Run(4)
    assert (run.step, run.history) == (0, [])
    assert steps_of(run) == [1, 2, 3, 4]
    assert not run.next() and run.step == 4


def test_without_a_time_budget_the_share_is_that_of_the_steps_before(clock):
    run, shares = Run(4), []
    while run.next():
        shares.append(run.spent)
        clock.now += 1e6
    assert shares == [0.0, 0.25, 0.5, 0.75]


def test_with_a_time_budget_the_share_is_that_of_the_time(clock):
    run, shares = Run(10**6, time_budget=10.0), []
    while run.next():
        shares.append(run.spent)
        clock.now += 3.0
    assert shares == pytest.approx([0.0, 0.3, 0.6, 0.9]), "none begins when the time is over"
    assert run.seconds == pytest.approx(12.0) and run.spent == 1.0


def test_a_time_budget_does_not_add_steps(clock):
    assert steps_of(Run(3, time_budget=1e6)) == [1, 2, 3]


def test_a_step_does_not_begin_at_the_moment_when_the_time_is_over(clock):
    run = Run(9, time_budget=10.0)
    run.next()
    clock.now += 10.0
    assert run.over and not run.next()


@pytest.mark.parametrize("seconds_before", [0.0, 100.0])
def test_the_first_step_is_taken_however_short_the_time(clock, seconds_before):
    run = Run(9, time_budget=1e-9)
    clock.now += seconds_before
    assert run.next()
    clock.now += 1.0
    assert run.over and not run.next() and run.step == 1


def test_time_counts_from_the_beginning_of_the_run(clock):
    run = Run(9, time_budget=10.0)
    clock.now += 4.0
    run.next()
    assert (run.seconds, run.spent) == pytest.approx((4.0, 0.4))


def test_a_part_of_a_run_ends_with_its_steps_and_the_rest_goes_on():
    run = Run(5)
    assert steps_of(run, 2) == [1, 2]
    assert not run.over
    assert steps_of(run) == [3, 4, 5]


def test_a_part_of_a_run_ends_with_its_share_of_the_time_and_the_rest_goes_on(clock):
    run, taken = Run(10**6, time_budget=10.0), []
    for share in (0.5, 1.0):
        while run.next(share=share):
            taken.append((share, run.spent))
            clock.now += 3.0
        assert run.over == (share == 1.0)
    assert taken == [(0.5, 0.0), (0.5, pytest.approx(0.3)), (1.0, pytest.approx(0.6)), (1.0, pytest.approx(0.9))]


def test_a_share_means_nothing_without_a_time_budget(clock):
    run = Run(3)
    run.next(3, 0.2)
    clock.now += 1e9
    assert run.next(3, 0.2) and not run.over


def test_the_last_step_is_over_by_its_number_or_by_the_time_and_no_other(clock):
    for budget, last in ((None, 5), (10.0, 4)):
        run, over = Run(5, time_budget=budget), []
        while run.next():
            clock.now += 3.0
            over.append(run.over)
        assert over == [False] * (last - 1) + [True]


@pytest.mark.parametrize("answer", [None, False])
def test_progress_is_told_and_the_run_goes_on(answer):
    told = []
    run = Run(2, on_step=lambda progress: told.append(progress) or answer)
    while run.next():
        run.tell(run.step / 10, f"text {run.step}")
        assert run.over == (run.step == 2)
    assert told == [Progress(1, 2, 0.1, "text 1"), Progress(2, 2, 0.2, "text 2")]


def test_a_run_ends_where_its_listener_says_true(clock):
    run = Run(9, time_budget=1e6, on_step=lambda progress: progress.step == 3)
    while run.next():
        assert not run.over
        run.tell(0.0, "")
    assert run.step == 3 and run.over and not run.next()


def test_a_run_that_was_stopped_stays_so_whatever_is_answered_later():
    run = Run(9, on_step=lambda progress: progress.reported > 0.5)
    run.next()
    for reported in (1.0, 0.0, 1.0):
        run.tell(reported, "")
        assert run.over and not run.next()


def test_without_a_listener_nobody_is_told():
    run = Run(1)
    run.next()
    run.tell(0.5, "text")
    assert run.over


def test_a_run_goes_on_after_the_steps_that_were_taken_before(clock):
    told = []
    run, shares = Run(10, on_step=told.append, step=7, seconds=50.0), []
    while run.next():
        shares.append(run.spent)
        assert run.over == (run.step == 10)
        run.tell(0.0, "")
    assert shares == [0.7, 0.8, 0.9]
    assert [(progress.step, progress.steps) for progress in told] == [(8, 10), (9, 10), (10, 10)]


def test_a_run_goes_on_with_the_time_that_was_left(clock):
    run, shares = Run(10**6, time_budget=10.0, step=2, seconds=6.0), []
    assert run.seconds == pytest.approx(6.0)
    while run.next():
        shares.append((run.step, run.spent))
        clock.now += 3.0
        assert run.over == (run.step == 4)
    assert shares == [(3, pytest.approx(0.6)), (4, pytest.approx(0.9))]
    assert run.seconds == pytest.approx(12.0), "what the next interruption has behind it"


@pytest.mark.parametrize(
    "behind", [{"step": 5}, {"step": 6}, {"step": 4, "seconds": 10.0}, {"step": 1, "seconds": 11.0}], ids=str
)
def test_nothing_is_left_of_a_run_whose_steps_or_time_are_over(clock, behind):
    run = Run(5, time_budget=10.0, **behind)
    assert run.over and not run.next() and run.step == behind["step"]


def test_every_run_has_a_history_of_its_own():
    one, other = Run(1), Run(1)
    one.history.append(0.5)
    assert other.history == []


def test_the_history_is_what_was_told_of_every_step_that_had_a_text():
    run = Run(3)
    for reported, text in ((-1.0, ""), (0.2, "one"), (0.2, "one")):
        run.next()
        run.tell(reported, text)
    assert run.history == [0.2, 0.2]


def test_what_was_told_last_can_be_said_again_and_end_the_run():
    seen, answers = [], iter([None, None, True])
    run = Run(5, on_step=lambda progress: seen.append(progress) or next(answers))
    run.next()
    run.again()
    run.tell(0.5, "a")
    run.next()
    run.again()
    assert seen == [Progress(0, 5, -1.0, ""), *[Progress(1, 5, 0.5, "a")] * 2]
    assert run.history == [0.5]
    assert run.over and not run.next()
