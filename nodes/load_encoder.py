"""Load PEZ Encoder."""

from __future__ import annotations

from comfy_api.latest import io

from ..pez_core import PezError, load_encoder
from ..pez_core.encoders.embedded import EMBEDDED
from .comfy import sockets
from .comfy.gradients import differentiable
from .comfy.managed_models import managed_encoder
from .comfy.text_projection import NO_FILE, chosen_file, projection_choices

CUSTOM = "custom"
BETWEEN = " / "
USUAL_MODELS = (
    "ViT-L-14 / openai",
    "ViT-H-14 / laion2b_s32b_b79k",
    "ViT-bigG-14 / laion2b_s39b_b160k",
    "ViT-B-32 / openai",
    "ViT-B-32 / laion2b_s34b_b79k",
    "ViT-L-14 / datacomp_xl_s13b_b90k",
)


def named(model: str, pretrained: str) -> tuple[str, str]:
    """The open_clip model and tag of "model / tag", which stands in `pretrained` where `model` is custom."""
    if model == CUSTOM:
        model, pretrained = pretrained, ""
    name, _, tag = model.partition(BETWEEN)
    return name.strip(), (tag or pretrained).strip()


class LoadEncoder(io.ComfyNode):
    """An open_clip model to learn prompts on."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return sockets.schema(
            node_id="PEZLoadEncoder",
            display_name="Load PEZ Encoder",
            aliases=["open_clip loader"],
            advanced=["pretrained", "file"],
            description="Loads an open_clip model. The embedded one is small and needs no download.",
            inputs=[
                io.Combo.Input(
                    "model",
                    options=[EMBEDDED, *USUAL_MODELS, CUSTOM],
                    tooltip="An open_clip model / its pretrained tag, downloaded unless it is on disk; "
                    "custom: another one.",
                ),
                io.String.Input(
                    "pretrained",
                    default="",
                    tooltip="For custom: another open_clip model / tag, as ViT-B-16 / openai; with a file, no tag.",
                ),
                io.Combo.Input(
                    "file",
                    options=projection_choices(),
                    optional=True,
                    tooltip="A safetensors file with the model's weights, in place of a tag.",
                ),
            ],
            outputs=[sockets.PezEncoder.Output("encoder", display_name="encoder", tooltip="For the PEZ nodes.")],
        )

    @classmethod
    def validate_inputs(cls, model) -> bool:
        """Any name will do: graphs of 0.2 have the model's name alone here, and its tag in `pretrained`."""
        return True

    @classmethod
    def execute(cls, model, pretrained, file=NO_FILE) -> io.NodeOutput:
        name, tag = named(model, pretrained)
        if not name:
            raise PezError("pretrained is empty; for a custom model write its name and tag, as ViT-B-16 / openai.")
        if any(mark in tag for mark in "/\\."):
            raise PezError(
                f"pretrained {pretrained!r} is not a tag; put the file in a model folder and choose it as file."
            )
        weights = chosen_file("file", file) if file != NO_FILE else tag or None
        with differentiable():
            return io.NodeOutput(managed_encoder(load_encoder(name, weights)))
