"""Prompt Concat."""

from __future__ import annotations

from comfy_api.latest import io

from ..pez_core import tasks
from .comfy import results, sockets
from .comfy.encoders import text_encoder
from .comfy.gradients import differentiable

MOST_PROMPTS = 8


class PromptConcat(io.ComfyNode):
    """Puts hard prompts together and says how much of each is left."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        prompts = [
            io.String.Input(
                f"prompt_{number}", optional=number > 2, force_input=True, tooltip="A prompt, learned or written."
            )
            for number in range(1, MOST_PROMPTS + 1)
        ]
        return sockets.result_schema(
            node_id="PEZPromptConcat",
            display_name="Prompt Concat",
            aliases=["join prompts", "combine prompts"],
            description="Joins 2 to 8 prompts; similarity is the mean one of the whole to each part.",
            inputs=[
                *prompts[:2],
                io.String.Input("separator", default=tasks.SEPARATOR, tooltip="What stands between two prompts."),
                *prompts[2:],
                sockets.clip_input(),
                sockets.encoder_input(),
            ],
            outputs=sockets.prompt_outputs(),
        )

    @classmethod
    def execute(cls, prompt_1, prompt_2, separator, clip=None, encoder=None, **more) -> io.NodeOutput:
        rest = [more.get(f"prompt_{number}") for number in range(3, MOST_PROMPTS + 1)]
        prompts = [prompt_1, prompt_2, *(prompt for prompt in rest if prompt is not None)]
        with differentiable():
            joined = tasks.concat(text_encoder(clip, encoder, cls.hidden), prompts, separator)
        return results.output(joined, clip)
