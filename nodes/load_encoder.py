"""Load PEZ Encoder."""

from __future__ import annotations

from comfy_api.latest import io

from ..pez_core import PezError, load_encoder
from ..pez_core.encoder import EMBEDDED
from .comfy import sockets
from .comfy.gradients import differentiable
from .comfy.managed_models import managed_encoder
from .comfy.text_projection import NO_FILE, chosen_file, projection_choices


class LoadEncoder(io.ComfyNode):
    """An open_clip model to learn prompts on."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return sockets.schema(
            node_id="PEZLoadEncoder",
            display_name="Load PEZ Encoder",
            aliases=["open_clip loader"],
            description="Loads an open_clip model. The embedded one is small and needs no download.",
            inputs=[
                io.String.Input(
                    "model", default=EMBEDDED, tooltip="An open_clip model name, such as ViT-L-14, or embedded."
                ),
                io.String.Input(
                    "pretrained",
                    default="",
                    tooltip="A pretrained tag, such as openai; it is downloaded unless it is on disk.",
                ),
                io.Combo.Input(
                    "file",
                    options=projection_choices(),
                    optional=True,
                    tooltip="A safetensors file with the model's weights, in place of a tag.",
                ),
            ],
            outputs=[sockets.PezEncoder.Output("encoder", display_name="encoder", tooltip="For the PEZ nodes.")],
        )

    @classmethod
    def execute(cls, model, pretrained, file=NO_FILE) -> io.NodeOutput:
        if any(mark in pretrained for mark in "/\\."):
            raise PezError(
                f"pretrained {pretrained!r} is not a tag; put the file in a model folder and choose it as file."
            )
        path = pretrained.strip() or None
        if file != NO_FILE:
            path = chosen_file("file", file)
        with differentiable():
            return io.NodeOutput(managed_encoder(load_encoder(model.strip(), path)))
