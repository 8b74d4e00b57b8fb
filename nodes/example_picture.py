"""PEZ Example Picture."""

from __future__ import annotations

from comfy_api.latest import io, ui

from .comfy import sockets
from .comfy.example_pictures import example_pictures


class ExamplePictureNode(io.ComfyNode):
    """A drawing that the embedded model can read, and what it shows."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return sockets.schema(
            node_id="PEZExamplePicture",
            display_name="PEZ Example Picture",
            aliases=["sample image", "demo picture"],
            description="A drawing that comes with the pack, to try the nodes on. The embedded model knows it.",
            inputs=[
                io.Combo.Input(
                    "picture", options=list(example_pictures()), tooltip="What it shows, and in which style."
                ),
            ],
            outputs=[
                io.Image.Output("image", display_name="image", tooltip="The drawing, 64 × 64 pixels."),
                io.String.Output("name", display_name="name", tooltip="What it shows, to compare a prompt with."),
            ],
            is_output_node=True,  # so that it shows its drawing even where an earlier run left it in the cache
        )

    @classmethod
    def execute(cls, picture) -> io.NodeOutput:
        example = example_pictures()[picture]
        pixels = example.pixels()
        return io.NodeOutput(pixels, example.concept, ui=ui.PreviewImage(pixels, cls=cls))
