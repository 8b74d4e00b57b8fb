"""Whether a CLIP's text projection is real, and where to take it from when it is not.

ComfyUI leaves `text_projection` uninitialised when a checkpoint lacks it (SD1.5's do, and SDXL's for CLIP-L). What is
then in memory may be zeros, rubbish, or a piece of another model, so the numbers alone cannot be trusted: the files
that the CLIP was loaded from are asked too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import folder_paths
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ...pez_core.errors import PezError

MODEL_FOLDERS = ("text_encoders", "checkpoints", "clip_vision")
NO_FILE = "none"
LARGEST_ENTRY = 100.0
PLAUSIBLE_SPREAD = (1e-4, 1.0)


def projection_choices() -> list[str]:
    """Safetensors files in ComfyUI's model folders, as folder/name, after the choice of none."""
    files = [f"{folder}/{name}" for folder in MODEL_FOLDERS for name in folder_paths.get_filename_list(folder)]
    return [NO_FILE, *(name for name in files if name.endswith(".safetensors"))]


def chosen_file(name: str, choice: str) -> str:
    """The path of a file that `projection_choices` lists; `name` is the input's, for the message.

    Raises PezError for anything else.
    """
    folder, _, file = choice.partition("/")
    path = folder_paths.get_full_path(folder, file) if folder in MODEL_FOLDERS else None
    if path is None or not path.endswith(".safetensors"):
        raise PezError(f"{name} {choice!r} is not in ComfyUI's model folders; choose one from the list.")
    return path


def read_projection(choice: str, width: int) -> Tensor:
    """The text projection (F, `width`) in a file that `projection_choices` listed; no other tensor is read.

    Raises PezError when the file is missing, broken, or has none of that width.
    """
    path = chosen_file("projection_file", choice)
    try:
        with safe_open(path, framework="pt") as file:
            for key in _projection_keys(file):
                weight: Tensor = file.get_tensor(key) if key.endswith(".weight") else file.get_tensor(key).T
                if weight.ndim == 2 and weight.shape[1] == width:
                    return weight.float().contiguous()
    except (SafetensorError, OSError) as error:
        raise PezError(f"projection_file {choice!r} cannot be read; give a whole safetensors file.") from error
    raise PezError(
        f"projection_file {choice!r} has no text_projection of width {width}; choose a full CLIP model of that width."
    )


def is_missing(weight: Tensor, graph: dict[str, Any] | None, node_id: str | None) -> bool:
    """Whether the text projection behind the node's `clip` input was never loaded."""
    if not _is_plausible(weight):
        return True
    files = list(_files_behind(graph or {}, node_id, "clip"))
    return bool(files) and not any(_has_projection(path, weight.shape[1]) for path in files)


def _is_plausible(weight: Tensor) -> bool:
    values = weight.detach().float()
    if not torch.isfinite(values).all() or values.abs().max() > LARGEST_ENTRY:
        return False
    low, high = PLAUSIBLE_SPREAD
    empty_rows = (values == 0).all(1).any()
    diagonal = values.shape[0] == values.shape[1] and torch.equal(values, torch.diag(values.diagonal()))
    return bool(low < values.std() < high and not empty_rows and not diagonal)


def _files_behind(graph: dict[str, Any], node_id: str | None, name: str) -> Iterator[Path]:
    """Safetensors files that the nodes upstream of an input name: up the `clip` inputs, to the loaders."""
    link = graph.get(str(node_id), {}).get("inputs", {}).get(name)
    seen: set[str] = set()
    waiting = [link]
    while waiting:
        link = waiting.pop()
        if not isinstance(link, list) or str(link[0]) in seen:
            continue
        seen.add(str(link[0]))
        inputs = graph.get(str(link[0]), {}).get("inputs", {})
        links = {key: value for key, value in inputs.items() if isinstance(value, list)}
        waiting += [value for key, value in links.items() if "clip" in key] or list(links.values())
        for value in inputs.values():
            if isinstance(value, str) and value.endswith(".safetensors"):
                paths = (folder_paths.get_full_path(folder, value) for folder in ("checkpoints", "text_encoders"))
                yield from (Path(path) for path in paths if path)


def _has_projection(path: Path, width: int) -> bool:
    with safe_open(path, framework="pt") as file:
        return any(width in file.get_slice(key).get_shape() for key in _projection_keys(file))


def _projection_keys(file: Any) -> list[str]:
    keys: list[str] = file.keys()
    return [key for key in keys if key.removesuffix(".weight").split(".")[-1] == "text_projection"]
