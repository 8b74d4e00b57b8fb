"""Negative Prompt."""

from __future__ import annotations

from comfy_api.latest import io

from ..pez_core import tasks
from .comfy import results, sockets
from .comfy.picture_search import search_pictures


class NegativePrompt(io.ComfyNode):
    """Learns the words for what pictures should not look like."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return sockets.result_schema(
            node_id="PEZNegativePrompt",
            display_name="Negative Prompt",
            aliases=["image to negative prompt"],
            advanced=["steps", "seed", "candidates", "projection_file"],
            description="Finds a negative prompt: words for pictures to avoid, which do not fit the pictures to keep.",
            inputs=[
                io.Image.Input("avoid", tooltip="Pictures that show what you do not want."),
                sockets.length_input(),
                *sockets.search_inputs(),
                io.Image.Input("keep", optional=True, tooltip="Pictures that the negative prompt must not describe."),
                *sockets.model_inputs(),
                *sockets.language_inputs(),
            ],
            outputs=[*sockets.prompt_outputs(), sockets.curve_output(), sockets.alternatives_output()],
        )

    @classmethod
    def execute(cls, avoid, keep=None, clip=None, **search) -> io.NodeOutput:
        found, _ = search_pictures(tasks.negative, avoid, keep, clip, cls.hidden, **search)
        return results.output(found, clip, results.curve(found), results.alternatives(found))
