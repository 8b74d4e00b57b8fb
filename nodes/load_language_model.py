"""Load Language Model."""

from __future__ import annotations

from pathlib import Path

import folder_paths
from comfy_api.latest import io

from ..pez_core import PezError
from ..pez_core.language import load_language_model
from .comfy import sockets
from .comfy.gradients import differentiable
from .comfy.managed_models import managed_language_model

FOLDER = "LLM"
MISSING = "put a model into models/LLM"


def model_choices() -> list[str]:
    """Folders with a language model in safetensors, and GGUF files, below models/LLM."""
    root = _root()
    found = {path.parent for path in root.rglob("*.safetensors") if (path.parent / "config.json").is_file()}
    choices = sorted(path.relative_to(root).as_posix() for path in (*found, *root.rglob("*.gguf")) if path != root)
    return choices or [MISSING]


def _root() -> Path:
    return Path(folder_paths.models_dir) / FOLDER


class LoadLanguageModel(io.ComfyNode):
    """A causal language model for the classification prompt."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return sockets.schema(
            node_id="PEZLoadLanguageModel",
            display_name="Load Language Model",
            aliases=["gpt loader", "gguf loader"],
            description="Loads a causal language model, such as GPT-2 or Gemma, from models/LLM.",
            inputs=[
                io.Combo.Input(
                    "model",
                    options=model_choices(),
                    tooltip="A folder with config.json, tokenizer and safetensors, or a GGUF file, in models/LLM.",
                ),
            ],
            outputs=[
                sockets.PezLanguageModel.Output(
                    "language_model", display_name="language_model", tooltip="For Classification Prompt."
                )
            ],
        )

    @classmethod
    def validate_inputs(cls, model) -> bool | str:
        found = model in model_choices()
        return found or f"model {model!r} is not in models/LLM; choose one from the list."

    @classmethod
    def execute(cls, model) -> io.NodeOutput:
        if model == MISSING:
            raise PezError("model folder models/LLM is empty; put a language model in safetensors or GGUF there.")
        with differentiable():
            return io.NodeOutput(managed_language_model(load_language_model(_root() / model)))
