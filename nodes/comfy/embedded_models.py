"""The embedded generator and its CLIP as the objects that ComfyUI's own nodes work on."""

from __future__ import annotations

from typing import Any, ClassVar

import comfy.latent_formats
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.sd1_clip
import comfy.supported_models_base
import comfy.utils
import torch
from safetensors.torch import load_file

from ...pez_core import PezError
from ...pez_core.encoders.embedded import FOLDER
from ...pez_core.encoders.open_clip import FILES
from ...pez_core.generator import FILE, SCALE, SIZE, Generator

TEXT_TOWER = {
    "num_hidden_layers": 3,
    "hidden_size": 192,
    "num_attention_heads": 3,
    "intermediate_size": 768,
    "hidden_act": "gelu",
    "max_position_embeddings": 77,
    "eos_token_id": 49407,
}
SPECIAL_TOKENS = {"start": 49406, "end": 49407, "pad": 0}


class PixelFormat(comfy.latent_formats.ChromaRadiance):
    """Pixels as latents, at the scale that the generator was trained with."""

    scale_factor = SCALE

    def process_in(self, latent: torch.Tensor) -> torch.Tensor:
        return latent * self.scale_factor

    def process_out(self, latent: torch.Tensor) -> torch.Tensor:
        return latent / self.scale_factor


class Network(Generator):
    """The generator as ComfyUI builds and asks diffusion models."""

    def __init__(self, device: Any = None, dtype: Any = None, operations: Any = None, **_: Any) -> None:
        super().__init__()
        self.dtype = dtype
        self.to(device=device, dtype=dtype)

    def forward(self, x: torch.Tensor, timesteps: torch.Tensor, context: torch.Tensor, **_: Any) -> torch.Tensor:
        """Raises PezError for pictures of another size than the generator's."""
        height, width = x.shape[-2:]
        if (height, width) != (SIZE, SIZE):
            raise PezError(
                f"latent_image is {width} × {height}, but the embedded generator draws {SIZE} × {SIZE} pixels; set "
                f"width and height to {SIZE} or scale the picture, and where EmptyLatentImage divides them by 8, take "
                "the node EmptyChromaRadianceLatentImage."
            )
        return super().forward(x, timesteps, context)


class GeneratorConfig(comfy.supported_models_base.BASE):
    """What ComfyUI needs to know of the generator: rectified flow on pixels, in fp32."""

    unet_config: ClassVar[dict[str, Any]] = {}
    unet_extra_config: ClassVar[dict[str, Any]] = {}
    sampling_settings: ClassVar[dict[str, float]] = {"shift": 1.0, "multiplier": 1.0}
    latent_format = PixelFormat
    memory_usage_factor = 0.05
    supported_inference_dtypes: ClassVar[list[torch.dtype]] = [torch.float32]

    def inpaint_model(self) -> bool:
        return False

    def get_model(self, state_dict: dict[str, Any], prefix: str = "", device: Any = None) -> Any:
        flow = comfy.model_base.ModelType.FLOW
        return comfy.model_base.BaseModel(self, flow, device=device, unet_model=Network)


class Tokenizer(comfy.sd1_clip.SD1Tokenizer):
    """CLIP's tokenizer, padded as the embedded CLIP is."""

    def __init__(self, embedding_directory: Any = None, tokenizer_data: Any = None) -> None:
        super().__init__(embedding_directory, tokenizer_data or {}, clip_name="l", tokenizer=_PaddedTokenizer)


class _PaddedTokenizer(comfy.sd1_clip.SDTokenizer):
    def __init__(self, embedding_directory: Any = None, tokenizer_data: Any = None) -> None:
        super().__init__(
            pad_with_end=False,
            embedding_directory=embedding_directory,
            embedding_size=TEXT_TOWER["hidden_size"],
            tokenizer_data=tokenizer_data or {},
        )


class TextModel(comfy.sd1_clip.SD1ClipModel):
    """The embedded CLIP's text tower, whose states after the end token are zero."""

    def __init__(self, device: Any = "cpu", dtype: Any = None, model_options: Any = None) -> None:
        super().__init__(device, dtype, model_options or {}, clip_name="l", clip_model=_Tower)


class _Tower(comfy.sd1_clip.SDClipModel):
    def __init__(self, device: Any = "cpu", dtype: Any = None, model_options: Any = None) -> None:
        super().__init__(
            device=device,
            textmodel_json_config=dict(TEXT_TOWER),
            dtype=dtype,
            special_tokens=SPECIAL_TOKENS,
            zero_out_masked=True,
            return_projected_pooled=False,
            model_options=model_options or {},
        )


def load_model() -> Any:
    """The generator as MODEL."""
    config = GeneratorConfig({})
    config.set_inference_dtype(torch.float32, None)
    model = config.get_model({})
    model.diffusion_model.load_state_dict(load_file(FOLDER / FILE))
    patcher = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)
    management = comfy.model_management
    return patcher(model, management.get_torch_device(), management.unet_offload_device())


def load_clip() -> Any:
    """The text tower of the embedded model as CLIP.

    ComfyUI's towers have square projections, which the embedded one has not, so an identity stands there; the PEZ nodes
    take it for missing, as it is.
    """
    weights = load_file(FOLDER / FILES[1])
    text = {name: weight for name, weight in weights.items() if not name.startswith("visual.")}
    text = comfy.utils.clip_text_transformers_convert(text, "", "")
    text["text_projection.weight"] = torch.eye(TEXT_TOWER["hidden_size"])
    target = comfy.supported_models_base.ClipTarget(Tokenizer, TextModel)
    count = comfy.utils.calculate_parameters(text)
    return comfy.sd.CLIP(target, embedding_directory=None, state_dict=[text], parameters=count)


def load_vae() -> Any:
    """Pixels as they are, as VAE."""
    return comfy.sd.VAE(sd={"pixel_space_vae": torch.tensor(1.0)})
