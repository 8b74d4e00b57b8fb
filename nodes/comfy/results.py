"""From a HardPrompt to what a node gives out and shows on itself."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from comfy_api.latest import io

from ...pez_core import HardPrompt
from ...pez_core.curve import draw_curve
from .encoders import conditioning

MOST_POINTS = 200


def output(found: HardPrompt, clip: Any, *more: Any, whole: str | None = None, notes: tuple[str, ...] = ()) -> Any:
    """The node's outputs: prompt, conditioning (of the `whole` text where it is longer), similarity, and `more`."""
    values = (found.text, conditioning(clip, whole or found.text), found.similarity, *more)
    return io.NodeOutput(*values, ui=shown(found, notes))


def curve(found: HardPrompt) -> Any:
    """The run as a picture (1, H, W, 3)."""
    return draw_curve(found.history, f"{found.similarity:.3f}  {found.text}")[None]


def shown(found: HardPrompt, notes: tuple[str, ...] = ()) -> dict[str, Any]:
    """What the editor shows on the node; the notes also go to the log."""
    pieces = [(piece.text, piece.contribution) for piece in found.pieces]
    return on_node("similarity", found.similarity, found.text, found.history, (*found.notes, *notes), pieces)


def on_node(
    measure: str,
    value: float,
    text: str,
    history: Sequence[float],
    notes: Sequence[str],
    pieces: Sequence[tuple[str, float]] = (),
) -> dict[str, Any]:
    """The message that web/pez.js reads when a node has run."""
    for note in notes:
        logging.getLogger(__name__).warning("PEZ: %s", note)
    curve = history[:: max(1, len(history) // MOST_POINTS)]
    fields = {"measure": measure, "value": value, "text": text, "curve": curve, "notes": notes, "pieces": pieces}
    return {"pez": [fields]}
