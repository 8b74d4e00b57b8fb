"""Style Extract."""

from __future__ import annotations

from comfy_api.latest import io

from ..pez_core import tasks
from ..pez_core.windows import window_note
from .comfy import results, sockets
from .comfy.encoders import picture_encoder
from .comfy.progress import differentiable, merged, report


class StyleExtract(io.ComfyNode):
    """Learns the words for what several pictures share."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        more = [
            io.Image.Input(f"images_{number}", optional=True, tooltip="More pictures of the style, of any size.")
            for number in (2, 3, 4)
        ]
        return io.Schema(
            node_id="PEZStyleExtract",
            display_name="Style Extract (PEZ)",
            category=sockets.CATEGORY,
            **sockets.searched_as("style to prompt", "style transfer", "interrogate style"),
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
            ],
            outputs=[*sockets.outputs(), sockets.curve_output()],
            hidden=[io.Hidden.prompt, io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls, images, subject, prompt_length, steps, seed, candidates, images_2=None, images_3=None, images_4=None,
        clip=None, clip_vision=None, clip_vision_2=None, encoder=None, settings=None, projection_file=None,
        avoid=None,
    ) -> io.NodeOutput:  # fmt: skip
        search = merged(settings, prompt_length, steps, seed, candidates)
        pictures = [
            picture for batch in (images, images_2, images_3, images_4) if batch is not None for picture in batch
        ]
        with differentiable():
            model = picture_encoder(clip, (clip_vision, clip_vision_2), encoder, projection_file, cls.hidden)
            avoided = None if avoid is None else model.encode_images(list(avoid))
            on_step = report(search, cls.hidden)
            found = tasks.style(model, model.encode_images(pictures), search, avoided, on_step)
        whole = f"{subject.strip()} {found.text}".strip()
        note = window_note(model.vocabulary, model.vocabulary.encode(whole))
        return results.output(found, clip, results.curve(found), whole=whole, notes=(note,) if note else ())
