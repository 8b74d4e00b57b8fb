"""ComfyUI's own text encoders with random weights, as Load CLIP gives them and the nodes read them."""

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from pez_core import Encoder
from tools.pack import NAME, import_pack

MODELS = {
    "ComfyUI CLIP-L": ("comfy.sd1_clip", "SD1ClipModel", "SD1Tokenizer", ("ViT-L-14",)),
    "ComfyUI SDXL": ("comfy.sdxl_clip", "SDXLClipModel", "SDXLTokenizer", ("ViT-L-14", "ViT-bigG-14")),
}
SPREAD = 0.02


def start(checkout: Path, device: torch.device) -> torch.dtype:
    """Import ComfyUI and the pack; the type in which the nodes then take products on that device."""
    import_pack(checkout.expanduser(), ["--cpu"] if device.type == "cpu" else [])
    dtype: torch.dtype = importlib.import_module(f"{NAME}.nodes.comfy.held_weights").compute_type(device)
    return dtype


def encoder(model: str, dtype: torch.dtype) -> tuple[Encoder, int]:
    """What the nodes make of a CLIP whose weights are of that type, loaded, and how many bytes its weights take."""
    module, clip_class, tokenizer_class, _ = MODELS[model]
    source = importlib.import_module(module)
    target = SimpleNamespace(params={}, clip=getattr(source, clip_class), tokenizer=getattr(source, tokenizer_class))
    clip = importlib.import_module("comfy.sd").CLIP(target, model_options={"dtype": dtype})
    _fill(clip.cond_stage_model)
    hidden = SimpleNamespace(prompt=None, unique_id=None)
    made: Encoder = importlib.import_module(f"{NAME}.nodes.comfy.encoders").text_encoder(clip, None, hidden)
    made.bring()
    return made, sum(weight.nbytes for weight in clip.cond_stage_model.parameters())


@torch.no_grad()
def _fill(module: Any) -> None:
    torch.manual_seed(0)
    for name, weight in module.named_parameters():
        if name.endswith("norm1.weight") or name.endswith("norm2.weight") or name.endswith("layer_norm.weight"):
            weight.fill_(1)
        else:
            weight.copy_((SPREAD * torch.randn(weight.shape)).to(weight.dtype))
