"""Where learning stands, in a folder: JSON, and tensors in safetensors."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..errors import PezError

NAME = "checkpoint.json"
VERSION = 2


@dataclass(frozen=True)
class Checkpoint:
    """State after `step` steps and `seconds` of a run; `run` is what tells it from others, by name, as JSON has it."""

    run: Mapping[str, Any]
    step: int
    seconds: float
    ranking: dict[str, Any]
    tensors: dict[str, Tensor]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write it so that a crash at any moment leaves either this one or the one before."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = folder / f"step-{checkpoint.step}.safetensors"
    save_file({name: tensor.contiguous().cpu() for name, tensor in checkpoint.tensors.items()}, tensors)
    fields = {"version": VERSION, **vars(checkpoint), "tensors": tensors.name}
    unfinished = folder / f"{NAME}.new"
    unfinished.write_text(json.dumps(fields, ensure_ascii=False), encoding="utf-8")
    unfinished.replace(folder / NAME)
    for old in folder.glob("step-*.safetensors"):
        if old.name != tensors.name:
            old.unlink()


def load_checkpoint(folder: Path, run: Mapping[str, Any]) -> Checkpoint | None:
    """What was saved last, or None.

    Raises PezError for one that cannot be read, and for one of another run: it says what differs.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        tensors = load_file(folder / Path(fields["tensors"]).name)
        version = fields.pop("version", None)
        found = Checkpoint(**{**fields, "tensors": tensors})
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise PezError(f"checkpoint in {str(folder)!r} cannot be read; delete the folder to start again.") from error
    if version != VERSION or not isinstance(found.run, dict):
        raise PezError(
            f"checkpoint in {str(folder)!r} was written by another version; delete the folder to start again."
        )
    different = [name for name in {**run, **found.run} if run.get(name) != found.run.get(name)]
    if different:
        *names, last = different
        listed = f"{', '.join(names)} and {last}" if names else last
        raise PezError(f"checkpoint in {str(folder)!r} is of a run with other {listed}; choose another folder.")
    return found
