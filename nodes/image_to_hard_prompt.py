"""Image → Hard Prompt."""

from __future__ import annotations

from comfy_api.latest import io

from ..pez_core import tasks
from . import sockets
from .encoders import conditioning, picture_encoder
from .running import differentiable, merged, report


class ImageToHardPrompt(io.ComfyNode):
    """Learns the words that make CLIP see the pictures."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PEZImageToHardPrompt",
            display_name="Image to Hard Prompt (PEZ)",
            category=sockets.CATEGORY,
            description="Finds a short text prompt for what one or more pictures show.",
            inputs=[
                io.Image.Input("image", tooltip="The picture, or a batch of pictures of the same thing."),
                sockets.length_input(),
                *sockets.search_inputs(),
                sockets.clip_input(),
                sockets.clip_vision_input(),
                sockets.encoder_input(),
                sockets.settings_input(),
                sockets.projection_input(),
            ],
            outputs=sockets.outputs(),
            hidden=[io.Hidden.prompt, io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls, image, prompt_length, steps, seed, candidates,
        clip=None, clip_vision=None, encoder=None, settings=None, projection_file=None,
    ) -> io.NodeOutput:  # fmt: skip
        search = merged(settings, prompt_length, steps, seed, candidates)
        with differentiable():
            model = picture_encoder(clip, clip_vision, encoder, projection_file, cls.hidden)
            found = tasks.invert(model, model.encode_images(list(image)), search, on_step=report(search))
        return io.NodeOutput(found.text, conditioning(clip, found.text), found.similarity)
