"""Pick Prompt."""

from __future__ import annotations

from comfy_api.latest import io

from ..pez_core.picture_ranking import rank_prompts
from ..pez_core.report.ranking import contact_sheet, ranking_table
from .comfy import results, sockets
from .comfy.encoders import conditioning, picture_reader
from .comfy.gradients import differentiable


class PickPrompt(io.ComfyNode):
    """Picks the prompt whose pictures are nearest to what was wanted."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return sockets.result_schema(
            node_id="PEZPickPrompt",
            display_name="Pick Prompt",
            aliases=["best prompt", "rank prompts", "best of", "compare prompts"],
            description="Ranks prompts by the pictures that your model drew from them, and gives the best one.",
            inputs=[
                io.String.Input("prompts", force_input=True, tooltip="A list of prompts, such as alternatives."),
                io.Image.Input("images", tooltip="What was drawn from each of them: a picture, or a batch of several."),
                io.Image.Input("wanted", tooltip="The picture that they should be like, or several."),
                *sockets.picture_reader_inputs(),
                io.Clip.Input("clip", optional=True, tooltip="The text encoder of your model, for the conditioning."),
            ],
            outputs=[
                io.String.Output("prompt", display_name="prompt", tooltip="The prompt that ranks first."),
                io.Image.Output("image", display_name="image", tooltip="The best of its pictures."),
                io.Float.Output(
                    "similarity",
                    display_name="similarity",
                    tooltip="Mean similarity of its pictures to the wanted ones.",
                ),
                io.Conditioning.Output(
                    "conditioning", display_name="conditioning", tooltip="The prompt encoded by the clip."
                ),
                io.String.Output("table", display_name="table", tooltip="All prompts, the best first."),
                io.Image.Output(
                    "sheet", display_name="sheet", tooltip="All prompts with their pictures, the best first."
                ),
            ],
            is_input_list=True,
        )

    @classmethod
    def execute(cls, prompts, images, wanted, clip_vision=None, encoder=None, clip=None) -> io.NodeOutput:
        drawn, sought = sockets.batches_of(images, len(prompts)), sockets.pictures_of(wanted)
        with differentiable():
            read = picture_reader(sockets.only(clip_vision), sockets.only(encoder))
            ranked = rank_prompts(prompts, [read(batch) for batch in drawn], read(sought))
        best = ranked[0]
        sheet = contact_sheet(ranked, drawn, sought[0])
        return io.NodeOutput(
            best.text,
            drawn[best.prompt][best.picture][None],
            best.similarity,
            conditioning(sockets.only(clip), best.text),
            ranking_table(ranked),
            sheet[None],
            ui=results.ranking(ranked, sheet, cls),
        )
