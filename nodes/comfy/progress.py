"""What a running search tells ComfyUI and its editor after every step, and how Cancel reaches it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import comfy.model_management
import comfy.utils
from server import PromptServer

from ...pez_core import SearchSettings
from ...pez_core.search import OnStep

EVENT = "pez.progress"
SECONDS_BETWEEN_MESSAGES = 0.25


def on_search_step(settings: SearchSettings, hidden: Any) -> OnStep:
    """What a search for pictures or text calls after every step."""
    show = progress_on_node(hidden, "similarity", settings.total_steps, settings.time_budget)
    return lambda progress: show(progress.step, progress.similarity, progress.text)


def progress_on_node(
    hidden: Any, measure: str, steps: int, time_budget: float | None = None
) -> Callable[[int, float, str], bool]:
    """A callback that moves the node's progress bar, writes to the editor, and raises ComfyUI's interruption on Cancel.

    It takes the step, the value of the best text so far by the `measure`, and that text, and always returns False.
    """
    place = {"node": hidden.unique_id, "workflow": _workflow_id(hidden.extra_pnginfo)}
    bar = comfy.utils.ProgressBar(steps)
    began = time.monotonic()
    last_shown = 0.0

    def show(step: int, value: float, text: str) -> bool:
        nonlocal last_shown
        comfy.model_management.throw_exception_if_processing_interrupted()
        now = time.monotonic()
        if now - last_shown >= SECONDS_BETWEEN_MESSAGES or step == steps:
            last_shown = now
            bar.update_absolute(step)
            left = (now - began) / step * (steps - step)
            if time_budget is not None:
                left = max(0.0, min(left, began + time_budget - now))
            if text:
                message = {"measure": measure, "value": value, "text": text, "step": step, "steps": steps}
                _send({**place, "seconds_left": left, **message})
        return False

    return show


def _workflow_id(extra: Any) -> str | None:
    """The workflow that the node is in, as the editor names it; people may have opened another one by now."""
    return ((extra or {}).get("workflow") or {}).get("id")


def _send(message: dict[str, Any]) -> None:
    server: Any = PromptServer.instance
    server.send_sync(EVENT, message, server.client_id)
