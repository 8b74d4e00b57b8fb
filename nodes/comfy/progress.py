"""What a running search tells ComfyUI and its editor after every step, and how Cancel reaches it."""

from __future__ import annotations

import time
from typing import Any

import comfy.model_management
import comfy.utils
from comfy_execution.utils import get_executing_context
from server import PromptServer

from ...pez_core import OnStep, Progress, SearchSettings

# A type that the editor knows from the start: it would report one of our own as unknown until our scripts are loaded.
EVENT = "progress"
SECONDS_BETWEEN_MESSAGES = 0.25


def on_search_step(settings: SearchSettings, hidden: Any) -> OnStep:
    """What a search for pictures or text calls after every step."""
    return progress_on_node(hidden, "similarity", settings.total_steps, settings.time_budget)


def progress_on_node(hidden: Any, measure: str, steps: int, time_budget: float | None = None) -> OnStep:
    """What a search of `steps` calls after each: it moves the node's progress bar, writes to the editor what the best
    text so far has of the `measure`, and raises ComfyUI's interruption on Cancel.
    """
    place = {"workflow": _workflow_id(hidden.extra_pnginfo), "run": running_id(), "item": _list_index()}
    bar = comfy.utils.ProgressBar(steps)
    began = time.monotonic()
    last_shown = 0.0

    def show(progress: Progress) -> None:
        nonlocal last_shown
        comfy.model_management.throw_exception_if_processing_interrupted()
        now = time.monotonic()
        if now - last_shown >= SECONDS_BETWEEN_MESSAGES or progress.step == steps:
            last_shown = now
            bar.update_absolute(progress.step)
            if progress.text:
                left = (now - began) / progress.step * (steps - progress.step)
                if time_budget is not None:
                    left = max(0.0, min(left, began + time_budget - now))
                message = {"value": progress.reported, "text": progress.text, "step": progress.step, "steps": steps}
                _send(hidden.unique_id, {**place, "seconds_left": left, "measure": measure, **message})

    return show


def running_id() -> str | None:
    """The id of the queued prompt that is running."""
    context = get_executing_context()
    return context.prompt_id if context else None


def _list_index() -> int | None:
    """Which element of a list the node runs for, from 0, as it is without a list too; how many follow is not told."""
    context = get_executing_context()
    return context.list_index if context else None


def _workflow_id(extra: Any) -> str | None:
    """The workflow that the node is in, as the editor names it; people may have opened another one by now."""
    return ((extra or {}).get("workflow") or {}).get("id")


def _send(node: str, message: dict[str, Any]) -> None:
    """What ComfyUI sends of a node's progress, and our message with it, which web/pez.js reads."""
    server: Any = PromptServer.instance
    bar = {"value": message["step"], "max": message["steps"], "prompt_id": message["run"], "node": node}
    server.send_sync(EVENT, {**bar, "pez": message}, server.client_id)
