"""Picture Similarity."""

from __future__ import annotations

from comfy_api.latest import io

from ..pez_core.report import similarities as report
from .comfy import results, sockets
from .comfy.encoders import picture_reader
from .comfy.gradients import differentiable


class PictureSimilarity(io.ComfyNode):
    """Says how alike pictures are."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return sockets.result_schema(
            node_id="PEZPictureSimilarity",
            display_name="Picture Similarity",
            aliases=["compare images", "image similarity", "clip score", "duplicates"],
            description="Compares every picture with every other one, or with those of another input.",
            inputs=[
                io.Image.Input("images", tooltip="Pictures, as batches or as a list, of any size."),
                io.Image.Input(
                    "others", optional=True, tooltip="What to compare them with; without it, with each other."
                ),
                *sockets.picture_reader_inputs(),
            ],
            outputs=[
                io.Float.Output(
                    "similarity",
                    display_name="similarity",
                    tooltip="Mean cosine similarity of all pairs of different pictures.",
                ),
                io.String.Output(
                    "table", display_name="table", tooltip="Every similarity, and which picture is the most similar."
                ),
                io.Image.Output("matrix", display_name="matrix", tooltip="The same table as shades."),
            ],
            is_input_list=True,
        )

    @classmethod
    def execute(cls, images, others=None, clip_vision=None, encoder=None) -> io.NodeOutput:
        rows, columns = sockets.pictures_of(images), sockets.pictures_of(others)
        with differentiable():
            read = picture_reader(sockets.only(clip_vision), sockets.only(encoder))
            features = read(rows)
            found = features @ (features if others is None else read(columns)).T
        mean, table = report.mean_similarity(found, others is None), report.similarity_table(found)
        shown = results.on_node("similarity", mean, table, (), ())
        return io.NodeOutput(mean, table, report.similarity_picture(found)[None], ui=shown)
