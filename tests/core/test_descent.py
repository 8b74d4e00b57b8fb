"""A step that works on the device alone, and the CUDA graph that replays it."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pez_core import PezError, SearchSettings
from pez_core.device.cuda_graph import WARM_UP
from pez_core.feature_judge import FeatureJudge
from pez_core.objectives import Match
from pez_core.optimiser.descent import Descent, Iterate
from pez_core.optimiser.judge import Verdict
from pez_core.optimiser.projection import Projection

SETTINGS = SearchSettings(tokens=5, candidates=3, batch=2)


def made(encoder, targets, captured=False, settings=SETTINGS):
    device = encoder.tower.device
    judge = FeatureJudge(encoder, Match(targets, settings.batch), settings)
    projection = Projection(encoder.tower.tables, encoder.vocabulary.allowed_ids())
    start = projection.random_ids((3, 5), torch.Generator().manual_seed(0))
    draws = torch.Generator(device).manual_seed(0)
    iterate = Iterate(encoder.tower.embed(start), settings.learning_rate, settings.weight_decay)
    return Descent(judge, projection, iterate, draws, captured=captured)


READING = {"aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero", "aten::equal"}


class HostReads(TorchDispatchMode):
    """Counts the operations that make the host wait for the device."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.name().split(".")[0] in READING:
            self.seen.append(function.name())
        return function(*args, **(kwargs or {}))


def test_a_step_reads_nothing_back(encoder, contents):
    descent = made(encoder, contents.features[:4])
    # AdamW counts its steps on the host on CPUs only
    descent.iterate._optimiser = torch.optim.SGD([descent.iterate.values], lr=0.1)
    descent.step()
    with HostReads() as reads:
        offer = descent.step()
    assert reads.seen == []
    with HostReads() as reads:
        offer.verdict.score.max().item()
    assert reads.seen


TABLE = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
ALLOWED = torch.arange(0, 40, 2)
RATES = 0.3, 0.2


class Bend:
    """A judge with a gradient that depends on the ids, and on one of two targets that the generator draws."""

    targets = torch.randn(2, 6, generator=torch.Generator().manual_seed(1))

    def with_gradient(self, ids, generator=None):
        embedded = TABLE[ids].requires_grad_(True)
        target = self.targets.mean(0) if generator is None else self.targets[torch.randint(2, (), generator=generator)]
        score = -(embedded.mean(1) - target).square().sum(-1)
        (gradient,) = torch.autograd.grad(-score.sum(), embedded)
        return Verdict(score.detach(), score.detach() / 2), gradient


def bent(count=4, seed=0):
    start = TABLE[ALLOWED[torch.randint(20, (count, 3), generator=torch.Generator().manual_seed(2))]]
    draws = torch.Generator().manual_seed(seed)
    return Descent(Bend(), Projection([TABLE], ALLOWED), Iterate(start, *RATES), draws)


def stepped(descent):
    """Where the iterate is after another step, what ids the step tried, and how they were judged."""
    offer = descent.step()
    return [descent.iterate.values.detach().clone(), offer.ids, *offer.verdict]


def test_steps_are_those_of_algorithm_1_with_adamw_at_the_rates_that_are_set():
    descent, judge, draws = bent(), Bend(), torch.Generator().manual_seed(0)
    iterate = descent.iterate.values.detach().clone().requires_grad_(True)
    optimiser = torch.optim.AdamW([iterate], lr=0.3, weight_decay=0.2)
    for _ in range(4):
        ids = Projection([TABLE], ALLOWED)(iterate.detach())
        verdict, iterate.grad = judge.with_gradient(ids, draws)
        optimiser.step()
        for expected, found in zip((iterate, ids, *verdict), stepped(descent)):
            assert torch.allclose(expected, found, atol=1e-6)


def test_where_it_starts_from_is_left_as_it_was():
    start = TABLE[ALLOWED[:6]].view(2, 3, 6)
    before = start.clone()
    Descent(Bend(), Projection([TABLE], ALLOWED), Iterate(start, *RATES), torch.Generator()).step()
    assert torch.equal(start, before)


class Small(Bend):
    """A judge that has room for so many candidates."""

    def __init__(self, room=10):
        self.room, self.steps = room, 0

    def with_gradient(self, ids, generator=None):
        self.steps += 1
        if len(ids) > self.room:
            raise torch.OutOfMemoryError("out of memory")
        return super().with_gradient(ids, generator)


@pytest.mark.parametrize("steps_before", [0, 3])
def test_half_of_the_candidates_go_on_as_if_the_others_had_never_been(steps_before):
    """The first half, from where it stood, with AdamW's moments: five candidates as two, step for step."""
    whole, halved = bent(5), bent(5)
    halved._judge = Small()
    for _ in range(steps_before):
        whole.step()
        halved.step()
    halved._judge.room = 2
    for _ in range(3):
        for expected, found in zip(stepped(whole), stepped(halved)):
            assert torch.allclose(expected[:2], found, atol=1e-6)
    assert (whole.candidates, halved.candidates) == (5, 2)


def test_a_queued_descent_goes_on_with_half_of_the_candidates_too():
    descent, alone = bent(4), bent(4)
    judge = Small(2)
    descent = Descent(judge, descent._projection, descent.iterate, torch.Generator().manual_seed(0), queued=True)
    for _ in range(5):
        offer, expected = descent.step(), alone.step()
        assert torch.equal(offer.ids, expected.ids[:2])
    assert descent.candidates == 2 and judge.steps > 6, "steps are taken ahead of what is read"


def test_candidates_that_do_not_fit_one_by_one_are_a_clear_error():
    descent = bent(4)
    descent._judge = Small(0)
    with pytest.raises(PezError, match=r"^candidates is 1 and the device is out of memory; shorten prompt_length or"):
        descent.step()
    assert descent.candidates == 1


def test_other_errors_of_a_step_come_through():
    class Broken(Bend):
        def with_gradient(self, ids, generator=None):
            raise RuntimeError("something else")

    descent = bent()
    descent._judge = Broken()
    with pytest.raises(RuntimeError, match=r"^something else$"):
        descent.step()
    assert descent.candidates == 4


def test_a_descent_goes_on_from_its_state():
    whole, resumed = bent(), bent(seed=9)
    for _ in range(5):
        whole.step()
    resumed.iterate.restore({name: value.clone() for name, value in whole.iterate.state().items()})
    resumed._generator.set_state(whole._generator.get_state())
    for _ in range(3):
        assert all(torch.equal(expected, found) for expected, found in zip(stepped(whole), stepped(resumed)))


def test_everything_is_made_where_the_iterate_is_whatever_the_default_device():
    expected = bent()
    wanted = expected.step()
    start, draws = bent().iterate.values.detach(), torch.Generator().manual_seed(0)
    judge, projection = Bend(), Projection([TABLE], ALLOWED)
    with torch.device("meta"):
        descent = Descent(judge, projection, Iterate(start, *RATES), draws)
    offer = descent.step()
    assert torch.equal(offer.ids, wanted.ids) and torch.equal(descent.iterate.values, expected.iterate.values)


class Broken(RuntimeError):
    """What a driver says."""


class StandIn:
    """CUDA graphs of a descent on the CPU, which fail where they are told to, after the work is done or half done."""

    def __init__(self, monkeypatch, descent, fails):
        self.descent, self.fails, self.done = descent, fails, []
        self.draws = descent._generator
        stream = SimpleNamespace(device=None, wait_stream=lambda other: None)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda: stream)
        monkeypatch.setattr(torch.cuda, "Stream", lambda device: stream)
        monkeypatch.setattr(torch.cuda, "stream", lambda other: self._warming())
        monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: self)
        monkeypatch.setattr(torch.cuda, "graph", lambda graph, capture_error_mode: self._capturing())

    def _reach(self, place):
        self.done.append(place)
        if f"{place} {self.done.count(place)}" == self.fails:
            raise Broken(self.fails)

    @contextmanager
    def _warming(self):
        yield
        self._reach("warm-up")

    def register_generator_state(self, generator):
        assert generator is self.draws
        self._reach("generator")

    @contextmanager
    def _capturing(self):
        """A capture executes nothing: what the step does here is taken back when it succeeds."""
        state = {name: value.clone() for name, value in self.descent.iterate.state().items()}
        draws = self.draws.get_state()
        yield
        self._reach("capture")
        self.descent.iterate.restore(state)
        self.draws.set_state(draws)

    def replay(self):
        if self.fails == "replay 1":
            self.descent._step()
        self._reach("replay")
        for kept, result in zip(self.descent._advance._results, self.descent._step()):
            kept.copy_(result)


STEPS = 12


@pytest.mark.parametrize("fails", [None, "warm-up 1", "warm-up 3", "generator 1", "capture 1", "replay 1", "replay 4"])
def test_a_graph_that_fails_anywhere_leaves_the_steps_as_they_were(monkeypatch, caplog, fails):
    plain, captured = bent(), bent()
    captured = Descent(
        captured._judge, captured._projection, captured.iterate, torch.Generator().manual_seed(0), captured=True
    )
    stand_in = StandIn(monkeypatch, captured, fails)
    for _ in range(STEPS):
        assert all(torch.equal(expected, found) for expected, found in zip(stepped(plain), stepped(captured)))
    assert [record.getMessage() for record in caplog.records] == (
        [f"PEZ goes on without a CUDA graph, which failed: {fails}"] if fails else []
    )
    if fails is None:
        assert stand_in.done == ["warm-up"] * WARM_UP + ["generator", "capture"] + ["replay"] * (STEPS - WARM_UP)
    else:
        assert f"{stand_in.done[-1]} {stand_in.done.count(stand_in.done[-1])}" == fails, "it is not tried again"
        assert (captured._generator is stand_in.draws) == (fails == "replay 4")


def test_a_graph_that_failed_is_not_tried_again_with_fewer_candidates(monkeypatch, caplog):
    descent = bent(4)
    judge = Small(4)
    descent = Descent(judge, descent._projection, descent.iterate, torch.Generator().manual_seed(0), captured=True)
    stand_in = StandIn(monkeypatch, descent, "capture 1")
    for judge.room in (4, 2):
        for _ in range(WARM_UP + 2):
            descent.step()
    assert descent.candidates == 2
    assert stand_in.done == ["warm-up"] * WARM_UP + ["generator", "capture"]
    assert sum("CUDA graph" in record.getMessage() for record in caplog.records) == 1


def test_no_room_for_a_step_is_no_failure_of_the_graph(monkeypatch, caplog):
    descent = bent(4)
    descent = Descent(Small(2), descent._projection, descent.iterate, torch.Generator().manual_seed(0), captured=True)
    StandIn(monkeypatch, descent, None)
    for _ in range(STEPS):
        descent.step()
    assert descent.candidates == 2 and descent._advance._graph is not None
    assert not any("CUDA graph" in record.getMessage() for record in caplog.records)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")
def test_a_captured_step_goes_the_way_of_a_plain_one():
    from pez_core import load_encoder

    encoder = load_encoder(device="cuda")
    targets = torch.nn.functional.normalize(torch.randn(4, 256, device="cuda"), dim=-1)
    plain, captured = made(encoder, targets), made(encoder, targets, captured=True)
    for _ in range(WARM_UP + 10):
        assert torch.equal(plain.step().ids, captured.step().ids)
