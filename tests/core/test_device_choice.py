"""The device that is taken when nobody names one."""

from types import SimpleNamespace

import pytest
import torch

from pez_core.command_line import main
from pez_core.device.choice import best_device
from pez_core.device.out_of_memory import free_unused

PROBES = {"cuda": (torch.cuda, "cuda"), "xpu": (torch.xpu, "xpu"), "mps": (torch.backends.mps, "mps")}


@pytest.fixture
def machine(monkeypatch):
    """Says what a machine has; whatever is not named is absent."""

    def has(*kinds, other=None, accelerator=True):
        for kind, (module, _) in PROBES.items():
            monkeypatch.setattr(module, "is_available", lambda kind=kind: kind in kinds)
        stand_in = SimpleNamespace(
            is_available=lambda: other is not None, current_accelerator=lambda: SimpleNamespace(type=other)
        )
        monkeypatch.setattr(torch, "accelerator", stand_in, raising=False)
        if not accelerator:
            monkeypatch.delattr(torch, "accelerator")

    return has


@pytest.mark.parametrize("accelerator", [True, False])
@pytest.mark.parametrize(
    ("kinds", "expected"),
    [([], "cpu"), (["cuda"], "cuda"), (["xpu"], "xpu"), (["mps"], "mps"), (["mps", "cuda"], "cuda")],
)
def test_the_accelerator_that_is_there_is_taken_by_every_torch(machine, kinds, expected, accelerator):
    machine(*kinds, accelerator=accelerator)
    assert best_device() == torch.device(expected)


def test_a_device_of_another_maker_is_taken_where_torch_knows_it(machine):
    machine(other="hpu")
    assert best_device().type == "hpu"
    machine(other="hpu", accelerator=False)
    assert best_device().type == "cpu"


@pytest.mark.parametrize("kind", ["cuda", "xpu", "mps"])
def test_what_an_attempt_without_room_held_is_given_back_on_every_device(machine, monkeypatch, kind):
    machine(kind)
    emptied = []
    for name in ("cuda", "xpu", "mps"):
        monkeypatch.setattr(getattr(torch, name), "empty_cache", lambda name=name: emptied.append(name))
    free_unused()
    assert emptied == [kind]


def test_commands_compute_there_unless_told_otherwise(machine, monkeypatch, capsys):
    machine("xpu")
    with pytest.raises(SystemExit):
        main(["score", "--help"])
    assert "(default xpu)" in capsys.readouterr().out
