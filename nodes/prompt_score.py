"""Prompt Score."""

from __future__ import annotations

from comfy_api.latest import io

from ..pez_core import PezError
from ..pez_core.report.score_table import score_table
from .comfy import results, sockets
from .comfy.encoders import picture_encoder
from .comfy.gradients import differentiable


class PromptScore(io.ComfyNode):
    """Says how near a text is to pictures, and which of its tokens bring it there."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return sockets.result_schema(
            node_id="PEZPromptScore",
            display_name="Prompt Score",
            aliases=["clip score", "text image similarity", "token contribution"],
            advanced=["projection_file"],
            description="Similarity of a text to pictures, and what each of its tokens adds to it.",
            inputs=[
                io.String.Input("text", multiline=True, tooltip="The prompt to score, written or learned."),
                io.Image.Input("image", tooltip="The pictures to score it against."),
                sockets.clip_input(),
                *sockets.clip_vision_inputs(),
                sockets.PezEncoder.Input(
                    "encoder",
                    optional=True,
                    tooltip="An encoder from Load PEZ Encoder, which scores the text beside the CLIP.",
                ),
                sockets.projection_input(),
            ],
            outputs=[
                io.Float.Output(
                    "similarity", display_name="similarity", tooltip="Mean cosine similarity, by the CLIP if connected."
                ),
                io.String.Output(
                    "table", display_name="table", tooltip="Similarity to each picture, and what each token adds."
                ),
            ],
        )

    @classmethod
    def execute(
        cls, text, image, clip=None, clip_vision=None, clip_vision_2=None, encoder=None, projection_file=None
    ) -> io.NodeOutput:
        visions = (clip_vision, clip_vision_2)
        with differentiable():
            models = [] if clip is None else [picture_encoder(clip, visions, None, projection_file, cls.hidden)]
            models += [] if encoder is None else [encoder]
            if not models:
                raise PezError("clip is not connected; connect a CLIP with its CLIP_VISION, an encoder, or both.")
            scored, table = score_table(text, [(model, model.encode_images(list(image))) for model in models])
        return io.NodeOutput(scored.similarity, table, ui=results.shown(scored))
