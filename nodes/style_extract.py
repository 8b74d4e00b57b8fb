"""Style Extract."""

from __future__ import annotations

from comfy_api.latest import io

from ..pez_core import tasks
from ..pez_core.encoders.windows import window_note
from .comfy import results, sockets
from .comfy.picture_search import search_pictures


class StyleExtract(io.ComfyNode):
    """Learns the words for what several pictures share."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        more = [
            io.Image.Input(f"images_{number}", optional=True, tooltip="More pictures of the style, of any size.")
            for number in (2, 3, 4)
        ]
        return sockets.result_schema(
            node_id="PEZStyleExtract",
            display_name="Style Extract",
            aliases=["style to prompt", "style transfer"],
            advanced=["steps", "seed", "candidates", "projection_file", "language"],
            description="Finds a prompt for the style that several pictures share, and puts a subject before it.",
            inputs=[
                io.Image.Input("images", tooltip="Pictures in one style, best of different things."),
                io.String.Input(
                    "subject",
                    default="",
                    tooltip="What to draw in the style; it stands before the learned words in the conditioning.",
                ),
                sockets.length_input(),
                *sockets.search_inputs(),
                *more,
                *sockets.model_inputs(),
                sockets.avoid_input(),
                *sockets.language_inputs(),
            ],
            outputs=[*sockets.prompt_outputs(), sockets.curve_output(), sockets.alternatives_output()],
        )

    @classmethod
    def execute(
        cls, images, subject, images_2=None, images_3=None, images_4=None, clip=None, avoid=None, **search
    ) -> io.NodeOutput:
        batches = [batch for batch in (images, images_2, images_3, images_4) if batch is not None]
        pictures = [picture for batch in batches for picture in batch]
        found, encoder = search_pictures(tasks.style, pictures, avoid, clip, cls.hidden, **search)
        whole = f"{subject.strip()} {found.text}".strip()
        note = window_note(encoder, encoder.vocabulary.encode(whole))
        return results.output(
            found,
            clip,
            results.curve(found),
            results.alternatives(found),
            whole=whole,
            notes=(note,) if note else (),
        )
