"""A step that works on the device alone, and the CUDA graph that replays it."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pez_core import SearchSettings
from pez_core.descent import Descent
from pez_core.frame import Frame
from pez_core.graph import WARM_UP, CapturedStep
from pez_core.objectives import Judged, Match
from pez_core.projection import Projection

SETTINGS = SearchSettings(tokens=5, candidates=3, batch=2)


def made(encoder, targets, kept_steps=4, settings=SETTINGS):
    device = encoder.tower.device
    frame = Frame(encoder.tower, encoder.vocabulary, Match(targets, settings.batch), settings)
    projection = Projection(encoder.tower.tables, encoder.vocabulary.allowed_ids())
    start = projection.random_ids((3, 5), torch.Generator().manual_seed(0))
    draws = torch.Generator(device).manual_seed(0)
    return Descent(frame, projection, encoder.tower.embed(start), settings, draws, kept_steps), draws


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
    descent, _ = made(encoder, contents.features[:4])
    descent._optimiser = torch.optim.SGD([descent.iterate], lr=0.1)  # AdamW counts its steps on the host on CPUs only
    descent.step()
    with HostReads() as reads:
        descent.step()
    assert reads.seen == []
    with HostReads() as reads:
        descent.judged.score.max().item()
    assert reads.seen


def test_the_last_steps_are_kept_in_a_ring(encoder, contents):
    long, short = made(encoder, contents.features[:4], 6)[0], made(encoder, contents.features[:4], 4)[0]
    for _ in range(6):
        long.step()
        short.step()
    order = [4, 5, 2, 3]
    assert torch.equal(short.ids, long.ids[order])
    assert torch.equal(short.judged.score, long.judged.score[order])


TABLE = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
ALLOWED = torch.arange(0, 40, 2)
RATES = SearchSettings(learning_rate=0.3, weight_decay=0.2)


class Bend:
    """A goal with a gradient that depends on the ids, and on one of two targets that the generator draws."""

    targets = torch.randn(2, 6, generator=torch.Generator().manual_seed(1))

    def judge_with_gradient(self, ids, generator=None):
        embedded = TABLE[ids].requires_grad_(True)
        target = self.targets.mean(0) if generator is None else self.targets[torch.randint(2, (), generator=generator)]
        score = -(embedded.mean(1) - target).square().sum(-1)
        (gradient,) = torch.autograd.grad(-score.sum(), embedded)
        return Judged(score.detach(), score.detach() / 2), gradient


def bent(count=4, kept_steps=4, seed=0):
    start = TABLE[ALLOWED[torch.randint(20, (count, 3), generator=torch.Generator().manual_seed(2))]]
    draws = torch.Generator().manual_seed(seed)
    return Descent(Bend(), Projection([TABLE], ALLOWED), start, RATES, draws, kept_steps)


def stepped(descent):
    """Where the iterate is after another step, what ids the step tried, and how they were judged."""
    descent.step()
    newest = int(descent._slot) - 1
    return [descent.iterate.detach().clone(), *(kept[newest] for kept in (descent.ids, *descent.judged))]


def test_the_last_steps_are_told_oldest_first_over_the_end_of_the_ring():
    descent = bent(kept_steps=4)
    tried = []
    for _ in range(6):
        _, ids, score, reported = stepped(descent)
        tried.append((ids.tolist(), score.tolist(), reported.tolist()))
        for steps in range(1, min(4, len(tried)) + 1):
            assert descent.last(steps) == tried[-steps:]


def test_steps_are_those_of_algorithm_1_with_adamw_at_the_rates_that_are_set():
    descent, goal, draws = bent(), Bend(), torch.Generator().manual_seed(0)
    iterate = descent.iterate.detach().clone().requires_grad_(True)
    optimiser = torch.optim.AdamW([iterate], lr=0.3, weight_decay=0.2)
    for _ in range(4):
        ids = Projection([TABLE], ALLOWED)(iterate.detach())
        judged, iterate.grad = goal.judge_with_gradient(ids, draws)
        optimiser.step()
        for expected, found in zip((iterate, ids, *judged), stepped(descent)):
            assert torch.allclose(expected, found, atol=1e-6)


def test_where_it_starts_from_is_left_as_it_was():
    start = TABLE[ALLOWED[:6]].view(2, 3, 6)
    before = start.clone()
    Descent(Bend(), Projection([TABLE], ALLOWED), start, RATES, torch.Generator(), 4).step()
    assert torch.equal(start, before)


@pytest.mark.parametrize("steps_before", [0, 3])
def test_half_of_the_candidates_go_on_as_if_the_others_had_never_been(steps_before):
    """The first half, from where it stood, with AdamW's moments: five candidates as two, step for step."""
    whole, halved = bent(5), bent(5)
    for _ in range(steps_before):
        whole.step()
        halved.step()
    halved = halved.halved()
    assert torch.equal(halved.iterate, whole.iterate[:2]) and len(halved.ids) == len(whole.ids)
    for _ in range(3):
        for expected, found in zip(stepped(whole), stepped(halved)):
            assert torch.allclose(expected[:2], found, atol=1e-6)


def test_a_descent_goes_on_from_its_state():
    whole, resumed = bent(), bent(seed=9)
    for _ in range(5):
        whole.step()
    resumed.restore({name: value.clone() for name, value in whole.state().items()})
    resumed._generator.set_state(whole._generator.get_state())
    for _ in range(3):
        assert all(torch.equal(expected, found) for expected, found in zip(stepped(whole), stepped(resumed)))


def test_everything_is_made_where_the_iterate_is_whatever_the_default_device():
    expected = bent()
    expected.step()
    start, draws = bent().iterate.detach(), torch.Generator().manual_seed(0)
    goal, projection = Bend(), Projection([TABLE], ALLOWED)
    with torch.device("meta"):
        descent = Descent(goal, projection, start, RATES, draws, 4)
    assert {descent.ids.device.type, *(kept.device.type for kept in descent.judged)} == {"cpu"}
    descent.step()
    assert torch.equal(descent.ids, expected.ids) and torch.equal(descent.iterate, expected.iterate)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")
def test_a_captured_step_goes_the_way_of_a_plain_one():
    from pez_core import load_encoder

    encoder = load_encoder(device="cuda")
    targets = torch.nn.functional.normalize(torch.randn(4, 256, device="cuda"), dim=-1)
    plain, _ = made(encoder, targets, 20)
    captured, draws = made(encoder, targets, 20)
    advance = CapturedStep(captured.step, draws)
    for _ in range(WARM_UP + 10):
        plain.step()
        advance()
    assert torch.equal(plain.ids, captured.ids)
