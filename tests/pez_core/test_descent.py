"""A step that works on the device alone, and the CUDA graph that replays it."""

from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pez_core import SearchSettings
from pez_core.descent import Descent
from pez_core.frame import Frame
from pez_core.graph import WARM_UP, CapturedStep
from pez_core.objectives import Match
from pez_core.projection import Projection

SETTINGS = SearchSettings(tokens=5, candidates=3, batch=2)


def made(encoder, targets, kept_steps=4, settings=SETTINGS, count=3):
    device = encoder.tower.device
    frame = Frame(encoder.tower, encoder.vocabulary, Match(targets, settings.batch), settings)
    projection = Projection(encoder.tower.embeddings, encoder.vocabulary.allowed_ids())
    start = projection.random_ids((count, 5), torch.Generator().manual_seed(0))
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


@pytest.mark.parametrize("steps_before", [0, 3])
def test_half_of_the_candidates_go_on_as_if_the_others_had_never_been(encoder, contents, steps_before):
    """The first half, from where it stood, with AdamW's moments: four candidates as two, step for step."""
    whole, _ = made(encoder, contents.features[:4], settings=replace(SETTINGS, batch=None), count=4)
    halved, _ = made(encoder, contents.features[:4], settings=replace(SETTINGS, batch=None), count=4)
    for _ in range(steps_before):
        whole.step()
        halved.step()
    halved = halved.halved()
    assert torch.equal(halved.iterate, whole.iterate[:2])
    for _ in range(3):
        whole.step()
        halved.step()
    assert torch.allclose(halved.iterate, whole.iterate[:2], atol=1e-5)
    kept = [step % 4 for step in range(steps_before, steps_before + 3)]
    assert torch.equal(halved.ids[:3], whole.ids[kept][:, :2])
    assert torch.allclose(halved.judged.score[:3], whole.judged.score[kept][:, :2], atol=1e-5)


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
