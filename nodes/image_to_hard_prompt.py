"""Image → Hard Prompt."""

from __future__ import annotations

from functools import partial

from comfy_api.latest import io

from ..pez_core import Encoder, HardPrompt, tasks
from .comfy import results, sockets
from .comfy.picture_search import search_pictures


class ImageToHardPrompt(io.ComfyNode):
    """Learns the words that make CLIP see the pictures."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return sockets.result_schema(
            node_id="PEZImageToHardPrompt",
            display_name="Image to Hard Prompt",
            aliases=["interrogate", "clip interrogator", "caption", "image to prompt", "image to text", "describe"],
            advanced=["steps", "seed", "candidates", "projection_file"],
            description="Finds a short text prompt for what one or more pictures show.",
            inputs=[
                io.Image.Input("image", tooltip="The picture, or a batch of pictures of the same thing."),
                sockets.length_input(),
                *sockets.search_inputs(),
                *sockets.model_inputs(),
                sockets.avoid_input(),
                *sockets.language_inputs(),
                io.String.Input(
                    "caption",
                    optional=True,
                    force_input=True,
                    tooltip="A caption, written or from any captioner, to edit in place of a search: what the pictures "
                    "confirm stays, and the rest goes or is replaced.",
                ),
            ],
            outputs=[*sockets.prompt_outputs(), sockets.curve_output(), sockets.alternatives_output()],
        )

    @classmethod
    def execute(cls, image, clip=None, avoid=None, caption=None, **search) -> io.NodeOutput:
        task = tasks.invert if caption is None else partial(_refine, caption)
        found, _ = search_pictures(task, image, avoid, clip, cls.hidden, **search)
        return results.output(found, clip, results.curve(found), results.alternatives(found))


def _refine(caption: str, encoder: Encoder, *search) -> HardPrompt:
    return tasks.refine(encoder, caption, *search)
