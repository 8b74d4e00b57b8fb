"""CLIP model files in the layouts that people have, filled with seeded random weights: the wiring is what is tested."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor


def write_clip_l(path: Path, projection: bool = True) -> None:
    """CLIP-L's text encoder, as `clip_l.safetensors`; without the projection, as SD1.5's `text_encoder`."""
    tensors = _clip_l()
    if projection:
        tensors["text_projection.weight"] = (768, 768)
    _write(path, tensors, seed=1)


def write_sd15(path: Path, unet: dict[str, list[int]]) -> None:
    """An SD1.5 checkpoint, as `v1-5-pruned-emaonly-fp16.safetensors` less the VAE: its CLIP has no text projection.

    `unet` names the shapes of the diffusion model, which is all zeros and is never run.
    """
    generator = torch.Generator().manual_seed(1)
    clip = {
        f"cond_stage_model.transformer.{name}": _values(name, shape, generator) for name, shape in _clip_l().items()
    }
    zeros = {f"model.diffusion_model.{name}": torch.zeros(shape, dtype=torch.float16) for name, shape in unet.items()}
    save_file(clip | zeros, path)


def _clip_l() -> dict[str, tuple[int, ...]]:
    return {
        "text_model.embeddings.token_embedding.weight": (49408, 768),
        "text_model.embeddings.position_embedding.weight": (77, 768),
        **_layers("text_model.", 12, 768, 3072),
        **_norm("text_model.final_layer_norm", 768),
    }


def write_small_projection(path: Path) -> None:
    """The text projection alone, for a CLIP-L of width 64."""
    _write(path, {"text_projection.weight": (64, 64)}, seed=5)


def write_vit_l(path: Path) -> None:
    """ViT-L/14's vision encoder, as `clip_vision_vit_l.safetensors`."""
    tensors = {
        "vision_model.embeddings.class_embedding": (1024,),
        "vision_model.embeddings.patch_embedding.weight": (1024, 3, 14, 14),
        "vision_model.embeddings.position_embedding.weight": (257, 1024),
        **_norm("vision_model.pre_layrnorm", 1024),
        **_layers("vision_model.", 24, 1024, 4096),
        **_norm("vision_model.post_layernorm", 1024),
        "visual_projection.weight": (768, 1024),
    }
    _write(path, tensors, seed=2)


def write_vit_h(path: Path) -> None:
    """ViT-H/14's vision encoder, all zeros: its 1024 features do not belong to CLIP-L, and it is never run."""
    tensors = {
        "vision_model.embeddings.class_embedding": (1280,),
        "vision_model.embeddings.patch_embedding.weight": (1280, 3, 14, 14),
        "vision_model.embeddings.position_embedding.weight": (257, 1280),
        **_norm("vision_model.pre_layrnorm", 1280),
        **_layers("vision_model.", 32, 1280, 5120),
        **_norm("vision_model.post_layernorm", 1280),
        "visual_projection.weight": (1024, 1280),
    }
    save_file({name: torch.zeros(shape, dtype=torch.float16) for name, shape in tensors.items()}, path)


def _layers(prefix: str, count: int, width: int, hidden: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for index in range(count):
        layer = f"{prefix}encoder.layers.{index}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= {f"{layer}.self_attn.{name}.weight": (width, width), f"{layer}.self_attn.{name}.bias": (width,)}
        shapes |= {f"{layer}.mlp.fc1.weight": (hidden, width), f"{layer}.mlp.fc1.bias": (hidden,)}
        shapes |= {f"{layer}.mlp.fc2.weight": (width, hidden), f"{layer}.mlp.fc2.bias": (width,)}
        shapes |= _norm(f"{layer}.layer_norm1", width) | _norm(f"{layer}.layer_norm2", width)
    return shapes


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _write(path: Path, shapes: dict[str, tuple[int, ...]], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    save_file({name: _values(name, shape, generator) for name, shape in shapes.items()}, path)


def _values(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    if "norm" in name and name.endswith("weight"):
        return torch.ones(shape, dtype=torch.float16)
    if name.endswith("bias"):
        return torch.zeros(shape, dtype=torch.float16)
    spread = 0.02 if "embedding" in name else shape[-1] ** -0.5
    return (torch.randn(shape, generator=generator) * spread).half()
