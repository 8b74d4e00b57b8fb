"""Load Embedded Models."""

from __future__ import annotations

from comfy_api.latest import io

from ..pez_core import load_encoder
from .comfy import embedded_models, sockets
from .comfy.gradients import differentiable
from .comfy.managed_models import managed_encoder


class LoadEmbeddedModels(io.ComfyNode):
    """The small models that come along, for every node of ComfyUI's."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return sockets.schema(
            node_id="PEZLoadEmbeddedModels",
            display_name="Load Embedded Models",
            aliases=["small checkpoint", "tiny model", "load checkpoint"],
            description="The small models that come along: they draw and read emoji of 64 × 64 pixels, at once.",
            inputs=[],
            outputs=[
                io.Model.Output("model", display_name="model", tooltip="Draws 64 × 64 pixels, for any sampler."),
                io.Clip.Output("clip", display_name="clip", tooltip="Reads prompts for the model."),
                io.Vae.Output("vae", display_name="vae", tooltip="Takes the model's pixels as they are."),
                sockets.PezEncoder.Output("encoder", display_name="encoder", tooltip="For the PEZ nodes."),
            ],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        with differentiable():
            encoder = managed_encoder(load_encoder())
        return io.NodeOutput(
            embedded_models.load_model(), embedded_models.load_clip(), embedded_models.load_vae(), encoder
        )
