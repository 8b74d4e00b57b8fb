"""Language models from a folder, in safetensors or GGUF."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from ..errors import PezError
from .model import LanguageModel

LOWEST_TRANSFORMERS = (4, 56)


def load_language_model(
    path: Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> LanguageModel:
    """A causal language model: a folder in the layout of transformers with safetensors weights, or a GGUF file.

    Nothing is downloaded, and no code that lies beside the weights is run.

    Raises PezError for a missing or unreadable model, one that is no causal language model, pickled weights, and a
    transformers that is missing or too old.
    """
    try:
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers import __version__ as installed
    except ImportError as error:
        raise PezError("transformers is not installed; run pip install transformers.") from error
    if tuple(map(int, installed.split(".")[:2])) < LOWEST_TRANSFORMERS:
        raise PezError(f"transformers {installed} is too old; run pip install --upgrade transformers.")

    folder, file = _located(path)
    options = {"local_files_only": True} | ({"gguf_file": file} if file else {})
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **options)
        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, use_safetensors=True, **options)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        logging.getLogger(__name__).debug("transformers could not load %s", path, exc_info=True)
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise PezError(f"model {path.name!r} could not be loaded as a causal language model: {reason}.") from error
    return LanguageModel(model.to(device), tokenizer, path.name)


def _located(path: Path) -> tuple[str, str | None]:
    """The folder, and the GGUF file in it if that is what the weights are."""
    if path.is_file() and path.suffix == ".gguf":
        return str(path.parent), path.name
    if not path.is_dir():
        raise PezError(f"model {str(path)!r} is neither a folder nor a GGUF file; check its spelling.")
    if any(path.glob("*.safetensors")):
        return str(path), None
    files = sorted(path.glob("*.gguf"))
    if not files:
        raise PezError(f"model {path.name!r} holds no safetensors or GGUF file; convert it, since others can run code.")
    return str(path), files[0].name
