"""From a HardPrompt to what a node gives out and shows on itself."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import folder_paths
from comfy_api.latest import io, ui
from torch import Tensor

from ...pez_core import HardPrompt
from ...pez_core.picture_ranking import RankedPrompt
from ...pez_core.report.curve import draw_curve
from .encoders import conditioning
from .progress import running_id

MOST_POINTS = 200


def output(found: HardPrompt, clip: Any, *more: Any, whole: str | None = None, notes: tuple[str, ...] = ()) -> Any:
    """The node's outputs: prompt, conditioning (of the `whole` text where it is longer), similarity, and `more`."""
    values = (found.text, conditioning(clip, whole or found.text), found.similarity, *more)
    return io.NodeOutput(*values, ui=shown(found, notes))


def curve(found: HardPrompt) -> Any:
    """The run as a picture (1, H, W, 3)."""
    return draw_curve(found.history, f"{found.similarity:.3f}  {found.text}")[None]


def alternatives(found: HardPrompt) -> list[str]:
    """The prompt, and what the other candidates found."""
    return [found.text, *found.alternatives]


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
    """What web/pez.js reads when a node has run, and a file of the text, which the editor's App mode shows."""
    for note in notes:
        logging.getLogger(__name__).warning("PEZ: %s", note)
    curve = history[:: max(1, len(history) // MOST_POINTS)]
    fields = {"measure": measure, "value": value, "text": text, "curve": curve, "notes": notes, "pieces": pieces}
    return {"pez": [{**fields, "run": running_id()}], "files": [_text_file(text)]}


def ranking(ranked: Sequence[RankedPrompt], sheet: Tensor, node: type[io.ComfyNode]) -> dict[str, Any]:
    """What the editor shows of ranked prompts: each on a page of its own, the best first, and the contact sheet."""
    pages = [on_node("similarity", each.similarity, each.text, (), ()) for each in ranked]
    preview = ui.PreviewImage(sheet[None], cls=node).as_dict()
    return {"pez": [page for shown in pages for page in shown["pez"]], "files": pages[0]["files"], **preview}


def _text_file(text: str) -> ui.SavedResult:
    """The text in ComfyUI's folder of temporary files, as its own nodes keep previews of pictures there."""
    folder, name, counter, subfolder, _ = folder_paths.get_save_image_path("prompt", folder_paths.get_temp_directory())
    file = f"{name}_{counter:05}_.txt"
    (Path(folder) / file).write_text(text, encoding="utf-8")
    return ui.SavedResult(file, subfolder, io.FolderType.temp)
