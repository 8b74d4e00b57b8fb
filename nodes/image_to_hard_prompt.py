"""Image → Hard Prompt."""

from __future__ import annotations

from comfy_api.latest import io

from ..pez_core import tasks
from .comfy import results, sockets
from .comfy.encoders import picture_encoder
from .comfy.progress import differentiable, merged, report


class ImageToHardPrompt(io.ComfyNode):
    """Learns the words that make CLIP see the pictures."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PEZImageToHardPrompt",
            display_name="Image to Hard Prompt (PEZ)",
            category=sockets.CATEGORY,
            **sockets.searched_as("interrogate", "clip interrogator", "image to prompt", "image to text", "describe"),
            description="Finds a short text prompt for what one or more pictures show.",
            inputs=[
                io.Image.Input("image", tooltip="The picture, or a batch of pictures of the same thing."),
                sockets.length_input(),
                *sockets.search_inputs(),
                *sockets.model_inputs(),
                sockets.avoid_input(),
            ],
            outputs=[*sockets.outputs(), sockets.curve_output()],
            hidden=[io.Hidden.prompt, io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls, image, prompt_length, steps, seed, candidates,
        clip=None, clip_vision=None, clip_vision_2=None, encoder=None, settings=None, projection_file=None,
        avoid=None,
    ) -> io.NodeOutput:  # fmt: skip
        search = merged(settings, prompt_length, steps, seed, candidates)
        with differentiable():
            model = picture_encoder(clip, (clip_vision, clip_vision_2), encoder, projection_file, cls.hidden)
            avoided = None if avoid is None else model.encode_images(list(avoid))
            on_step = report(search, cls.hidden)
            found = tasks.invert(model, model.encode_images(list(image)), search, avoided, on_step)
        return results.output(found, clip, results.curve(found))
