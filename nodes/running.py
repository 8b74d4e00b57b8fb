"""How a task runs inside a node: out of inference mode, with ComfyUI's progress bar and its Cancel button."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import comfy.model_management
import comfy.utils
import torch

from ..pez_core import Progress, SearchSettings
from ..pez_core.search import OnStep


@contextmanager
def differentiable() -> Iterator[None]:
    """Nodes run in inference mode, where nothing has a gradient; a search must leave it."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def report(settings: SearchSettings) -> OnStep:
    """A callback that moves the node's progress bar and raises ComfyUI's interruption on Cancel."""
    bar = comfy.utils.ProgressBar(settings.total_steps)

    def on_step(progress: Progress) -> bool:
        comfy.model_management.throw_exception_if_processing_interrupted()
        bar.update_absolute(progress.step)
        return False

    return on_step


def merged(settings: SearchSettings | None, tokens: int, steps: int, seed: int, candidates: int) -> SearchSettings:
    """The node's own inputs over the connected PEZ_SETTINGS."""
    base = settings or SearchSettings()
    return replace(base, tokens=tokens, steps=steps, seed=seed, candidates=candidates)
