"""Negative Prompt."""

from __future__ import annotations

from comfy_api.latest import io

from ..pez_core import tasks
from .comfy import results, sockets
from .comfy.encoders import picture_encoder
from .comfy.progress import differentiable, merged, report


class NegativePrompt(io.ComfyNode):
    """Learns the words for what pictures should not look like."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PEZNegativePrompt",
            display_name="Negative Prompt (PEZ)",
            category=sockets.CATEGORY,
            **sockets.searched_as("image to negative prompt", "interrogate negative"),
            description="Finds a negative prompt: words for pictures to avoid, which do not fit the pictures to keep.",
            inputs=[
                io.Image.Input("avoid", tooltip="Pictures that show what you do not want."),
                sockets.length_input(),
                *sockets.search_inputs(),
                io.Image.Input("keep", optional=True, tooltip="Pictures that the negative prompt must not describe."),
                *sockets.model_inputs(),
            ],
            outputs=[*sockets.outputs(), sockets.curve_output()],
            hidden=[io.Hidden.prompt, io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls, avoid, prompt_length, steps, seed, candidates, keep=None,
        clip=None, clip_vision=None, clip_vision_2=None, encoder=None, settings=None, projection_file=None,
    ) -> io.NodeOutput:  # fmt: skip
        search = merged(settings, prompt_length, steps, seed, candidates)
        with differentiable():
            model = picture_encoder(clip, (clip_vision, clip_vision_2), encoder, projection_file, cls.hidden)
            kept = None if keep is None else model.encode_images(list(keep))
            on_step = report(search, cls.hidden)
            found = tasks.negative(model, model.encode_images(list(avoid)), search, kept, on_step)
        return results.output(found, clip, results.curve(found))
