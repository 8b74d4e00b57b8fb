"""How a task runs inside a node: out of inference mode, with ComfyUI's progress, on the node too, and its Cancel."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import comfy.model_management
import comfy.utils
import torch
from server import PromptServer

from ...pez_core import SearchSettings
from ...pez_core.search import OnStep

EVENT = "pez.progress"
Tell = Callable[[int, float, str], bool]
SECONDS_BETWEEN_MESSAGES = 0.25


@contextmanager
def differentiable() -> Iterator[None]:
    """Nodes run in inference mode, where nothing has a gradient; a search must leave it."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def report(settings: SearchSettings, hidden: Any) -> OnStep:
    """What a search calls after every step."""
    tell = telling(hidden, "similarity", settings.total_steps, settings.time_budget)
    return lambda progress: tell(progress.step, progress.similarity, progress.text)


def telling(hidden: Any, measure: str, steps: int, time_budget: float | None = None) -> Tell:
    """A callback that moves the node's progress bar, tells the editor, and raises ComfyUI's interruption on Cancel.

    It takes the step, what the best text so far has of the `measure`, and that text, and always returns False.
    """
    place = {"node": hidden.unique_id, "workflow": _workflow_id(hidden.extra_pnginfo)}
    bar = comfy.utils.ProgressBar(steps)
    began = time.monotonic()
    told = 0.0

    def tell(step: int, value: float, text: str) -> bool:
        nonlocal told
        comfy.model_management.throw_exception_if_processing_interrupted()
        now = time.monotonic()
        if now - told >= SECONDS_BETWEEN_MESSAGES or step == steps:
            told = now
            bar.update_absolute(step)
            left = (now - began) / step * (steps - step)
            if time_budget is not None:
                left = max(0.0, min(left, began + time_budget - now))
            if text:
                message = {"measure": measure, "value": value, "text": text, "step": step, "steps": steps}
                _send({**place, "seconds_left": left, **message})
        return False

    return tell


def merged(settings: SearchSettings | None, tokens: int, steps: int, seed: int, candidates: int) -> SearchSettings:
    """The node's own inputs over the connected PEZ_SETTINGS."""
    base = settings or SearchSettings()
    return replace(base, tokens=tokens, steps=steps, seed=seed, candidates=candidates)


def _workflow_id(extra: Any) -> str | None:
    """The workflow that the node is in, as the editor names it; people may have opened another one by now."""
    return ((extra or {}).get("workflow") or {}).get("id")


def _send(message: dict[str, Any]) -> None:
    server: Any = PromptServer.instance
    server.send_sync(EVENT, message, server.client_id)
