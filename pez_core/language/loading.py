"""Language models from a folder, in safetensors or GGUF."""

import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from ..errors import PezError
from .model import LanguageModel

LOWEST_TRANSFORMERS = (4, 56)
NAMED = 3
MOST_LAYERS = 1000
READABLE = "so"
TOKENIZER_FILES = ("tokenizer.json", "vocab.*", "*.model")


def load_language_model(
    path: Path, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> LanguageModel:
    """A causal language model: a folder in the layout of transformers with safetensors weights, or a GGUF file.

    Nothing is downloaded, and no code that lies beside the weights is run.

    Raises PezError for a missing or unreadable model, one that is no causal language model, pickled weights, a file
    that lacks some of the weights, a folder without a tokenizer, and a transformers that is missing or too old.
    """
    try:
        from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
        from transformers import __version__ as installed
    except ImportError as error:
        raise PezError("transformers is not installed; run pip install transformers.") from error
    if tuple(map(int, installed.split(".")[:2])) < LOWEST_TRANSFORMERS:
        raise PezError(f"transformers {installed} is too old; run pip install --upgrade transformers.")

    folder, file = _located(path)
    if not file and not any(any(path.glob(name)) for name in TOKENIZER_FILES):
        raise PezError(f"model {path.name!r} has no tokenizer; put its tokenizer.json beside the weights.")
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    if file:
        options["gguf_file"] = file
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **options)
        config = AutoConfig.from_pretrained(folder, **options)
        layers = config.get_text_config().num_hidden_layers
        if not 1 <= layers <= MOST_LAYERS:
            raise PezError(
                f"model {path.name!r} claims to have {layers} layers; download it anew, or choose another one."
            )
        checked = {"use_safetensors": True, "output_loading_info": True, "ignore_mismatched_sizes": True}
        loaded: Any = AutoModelForCausalLM.from_pretrained(folder, config=config, dtype=dtype, **checked, **options)
        model, told = loaded
        _refuse(path, "lacks weights", told["missing_keys"])
        _refuse(path, "has weights of other shapes than its config", told["mismatched_keys"])
        found = LanguageModel(model, tokenizer, path.name)
        readable = found.vocabulary.decode(found.vocabulary.encode(READABLE)).lower() == READABLE
    except PezError:
        raise
    except Exception as error:  # foreign code on files that nobody has checked: it raises whatever it comes upon
        logging.getLogger(__name__).debug("transformers could not load %s", path, exc_info=True)
        raise PezError(
            f"model {path.name!r} could not be loaded as a causal language model ({_reason(error)}); "
            "check its files, or choose another one."
        ) from error
    if not readable:
        raise PezError(f"model {path.name!r} has no tokenizer; put its tokenizer.json beside the weights.")
    found.transformers_model.to(device)
    return found


def _refuse(path: Path, fault: str, weights: Collection[str | tuple[str, ...]]) -> None:
    """transformers fills such weights with random numbers, and only warns. Some versions tell their shapes too."""
    if weights:
        named = ", ".join(sorted(weight if isinstance(weight, str) else weight[0] for weight in weights)[:NAMED])
        more = f" and {len(weights) - NAMED} more" if len(weights) > NAMED else ""
        raise PezError(f"model {path.name!r} {fault} ({named}{more}); download it anew, or choose another one.")


def _reason(error: Exception) -> str:
    """The first sentence of what went wrong."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].partition(". ")[0].rstrip(".:;")


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
