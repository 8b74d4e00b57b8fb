"""ComfyUI's own text encoders and vision models, of every kind that people load, but with a few narrow layers."""

import gc
import importlib.util
import inspect
import json
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import comfy.clip_vision
import comfy.model_management
import comfy.model_patcher
import comfy.ops
import comfy.sd
import comfy.sd1_clip
import comfy.sdxl_clip
import comfy.text_encoders.flux
import comfy.text_encoders.pixart_t5
import comfy.text_encoders.sd2_clip
import comfy.text_encoders.sd3_clip
import folder_paths
import torch
from safetensors.torch import load_file

WIDTHS = {"clip_l": 64, "clip_g": 96, "clip_h": 80}
T5 = {"d_ff": 64, "d_kv": 16, "d_model": 32, "num_heads": 2, "num_layers": 1}
DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float8": torch.float8_e4m3fn,
}
KINDS = {
    "sd1": (comfy.sd1_clip.SD1ClipModel, comfy.sd1_clip.SD1Tokenizer),
    "sd2": (comfy.text_encoders.sd2_clip.SD2ClipModel, comfy.text_encoders.sd2_clip.SD2Tokenizer),
    "sdxl": (comfy.sdxl_clip.SDXLClipModel, comfy.sdxl_clip.SDXLTokenizer),
    "sd3": (
        comfy.text_encoders.sd3_clip.sd3_clip(t5=False),
        comfy.text_encoders.sd3_clip.SD3Tokenizer,
    ),
    "flux": (
        comfy.text_encoders.flux.flux_clip(dtype_t5=torch.float32),
        comfy.text_encoders.flux.FluxTokenizer,
    ),
    "t5": (
        comfy.text_encoders.pixart_t5.pixart_te(dtype_t5=torch.float32),
        comfy.text_encoders.pixart_t5.PixArtTokenizer,
    ),
}
JINA = {
    "vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64
}  # fmt: skip
if importlib.util.find_spec("comfy.text_encoders.jina_clip_2"):
    from comfy.text_encoders.jina_clip_2 import JinaClip2TextModelWrapper

    KINDS["jina"] = (JinaClip2TextModelWrapper, comfy.sd1_clip.SD1Tokenizer)
LONG = 248
KINDS |= {f"long {kind}": KINDS[kind] for kind in ("sd1", "sdxl", "flux")}
LORA_KEY = "clip_l.transformer.text_model.encoder.layers.1.mlp.fc1.weight"


class SmallClip:
    """A CLIP of any kind with seeded weights.

    `lora` patches it, `low_memory` leaves weights to be cast as needed, `bare` lacks CLIP-L's text projection,
    and a layer of a `bypassed` one does more than a product with its weight.
    """

    CATEGORY, FUNCTION, RETURN_TYPES = "probe", "run", ("CLIP",)

    @classmethod
    def INPUT_TYPES(cls):
        optional = {
            "dtype": ([*DTYPES, "quantised"], {"default": "float32"}),
            "lora": ("BOOLEAN", {"default": False}),
            "low_memory": ("BOOLEAN", {"default": False}),
            "seed": ("INT", {"default": 0}),
            "bare": ("BOOLEAN", {"default": False}),
            "bypassed": ("BOOLEAN", {"default": False}),
        }
        return {"required": {"kind": (list(KINDS),)}, "optional": optional}

    def run(self, kind, dtype="float32", lora=False, low_memory=False, seed=0, bare=False, bypassed=False):
        clip = _clip(kind, DTYPES.get(dtype, torch.float32), seed)
        if bare:
            with torch.no_grad():
                clip.cond_stage_model.clip_l.transformer.text_projection.weight.zero_()
        if dtype == "quantised":
            clip = _quantised(kind, clip)
        if bypassed:
            layer = clip.cond_stage_model.clip_l.transformer.text_model.encoder.layers[1].mlp.fc1
            plain = layer.forward
            layer.forward = lambda states: plain(states) + states.repeat(1, 1, 2)
        if lora:
            clip = clip.clone()
            shape = clip.patcher.model_state_dict()[LORA_KEY].shape
            change = torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 2
            assert clip.add_patches({LORA_KEY: ("diff", (change,))}), "the LoRA names a weight that is not there"
        if low_memory:
            load, short = clip.patcher.load, {"lowvram_model_memory": 1, "full_load": False}
            clip.patcher.load = lambda device, **more: load(device, **{**more, **short})
            clip.patcher.detach()
            for module in clip.cond_stage_model.modules():
                comfy.model_patcher.wipe_lowvram_weight(module)
        return (clip,)


class StillHeld:
    """How many layers' weights the PEZ nodes still hold."""

    CATEGORY, FUNCTION, RETURN_TYPES, OUTPUT_NODE = "probe", "run", (), True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"after": ("STRING", {"forceInput": True})}}

    def run(self, after):
        return {"ui": {"text": [sum(type(one).__name__ == "Held" for one in gc.get_objects())]}}


class Products:
    """Passes a CLIP on, and has the search take products in another type, or finds no memory for copies.

    "as usual" ends that.
    """

    CATEGORY, FUNCTION, RETURN_TYPES, OUTPUT_NODE = "probe", "run", ("CLIP",), True
    usual = None

    @classmethod
    def INPUT_TYPES(cls):
        kinds = ["as usual", "float16", "bfloat16", "no room"]
        return {"required": {"clip": ("CLIP",), "products": (kinds,), "nonce": ("INT", {"default": 0})}}

    def run(self, clip, products, nonce):
        (tower,) = (
            module for name, module in sys.modules.items() if name.endswith("ComfyUI-PEZ.nodes.comfy.clip_tower")
        )
        management = comfy.model_management
        Products.usual = Products.usual or (tower.compute_type, management.get_free_memory)
        tower.compute_type, management.get_free_memory = Products.usual
        if products == "no room":
            management.get_free_memory = lambda *_: 0
        elif products != "as usual":
            tower.compute_type = lambda device: DTYPES[products]
        return {"ui": {"text": [products]}, "result": (clip,)}


class Casts:
    """How often ComfyUI has cast a layer's weights since this node first ran."""

    CATEGORY, FUNCTION, RETURN_TYPES, OUTPUT_NODE = "probe", "run", (), True
    count = 0

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"nonce": ("INT", {"default": 0})}}

    def run(self, nonce):
        original = comfy.ops.cast_bias_weight
        if original.__name__ == "cast_bias_weight":

            def counted(*arguments, **options):
                Casts.count += 1
                return original(*arguments, **options)

            comfy.ops.cast_bias_weight = counted
        return {"ui": {"text": [Casts.count]}}


class SmallVision:
    """A CLIP_VISION whose features have the width of one of the towers.

    When it `evicts`, encoding a picture unloads all other models first, as short memory does.
    """

    CATEGORY, FUNCTION, RETURN_TYPES = "probe", "run", ("CLIP_VISION",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"tower": (list(WIDTHS),)}, "optional": {"evicts": ("BOOLEAN", {"default": False})}}

    def run(self, tower, evicts=False):
        config = {
            "hidden_act": "quick_gelu", "hidden_size": 64, "image_size": 32, "intermediate_size": 128,
            "num_attention_heads": 2, "num_channels": 3, "num_hidden_layers": 2, "patch_size": 16,
            "projection_dim": WIDTHS[tower], "model_type": "clip_vision_model",
        }  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "config.json"
            path.write_text(json.dumps(config))
            vision = comfy.clip_vision.ClipVisionModel(str(path))
        _fill(vision.model, 7)
        if evicts:
            encode = vision.encode_image

            def encode_image(*arguments, **options):
                comfy.model_management.unload_all_models()
                return encode(*arguments, **options)

            vision.encode_image = encode_image
        return (vision,)


class TowerSimilarity:
    """Similarity of a text to pictures by each named tower, from ComfyUI's own pooled state and projection."""

    CATEGORY, FUNCTION, RETURN_TYPES, OUTPUT_NODE = "probe", "run", (), True

    @classmethod
    def INPUT_TYPES(cls):
        inputs = {"clip": ("CLIP",), "image": ("IMAGE",), "text": ("STRING", {"forceInput": True})}
        return {
            "required": {**inputs, "clip_vision": ("CLIP_VISION",), "tower": (list(WIDTHS),)},
            "optional": {"reported": ("FLOAT", {"forceInput": True}), "projection": ("STRING", {"default": ""})},
        }

    def run(self, clip, image, text, clip_vision, tower, reported=0.0, projection=""):
        clip.load_model()
        model, tokens = getattr(clip.cond_stage_model, tower), clip.tokenize(text)
        model.reset_clip_options()
        model.set_clip_options({"projected_pooled": False})
        _, pooled = model.encode_token_weights(tokens[tower.removeprefix("clip_")])
        if projection:
            weight = load_file(folder_paths.get_full_path("text_encoders", projection))["text_projection.weight"]
            projected = pooled.float() @ weight.float().T
        else:
            projected = model.transformer.text_projection(pooled.float())
        seen = clip_vision.encode_image(image).image_embeds
        similarity = torch.nn.functional.cosine_similarity(projected, seen).mean().item()
        return {"ui": {"text": [similarity, reported, text]}}


class StatesSimilarity:
    """Cosine similarity of the mean token states, but for the start, that CLIPTextEncode makes of two texts."""

    CATEGORY, FUNCTION, RETURN_TYPES, OUTPUT_NODE = "probe", "run", (), True

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {
                "one": ("CONDITIONING",),
                "other": ("CONDITIONING",),
                "parts": ("STRING", {"default": "64"}),
                "reported": ("FLOAT", {"forceInput": True}),
            }
        }

    def run(self, one, other, parts, reported):
        widths = [int(width) for width in parts.split()]
        means = [states[0][0][0, 1:].float().mean(0).split(widths) for states in (one, other)]
        cosines = [torch.nn.functional.cosine_similarity(a, b, dim=0).item() for a, b in zip(*means)]
        return {"ui": {"text": [sum(cosines) / len(cosines), reported]}}


def _clip(kind, dtype, seed=0, quantised=None):
    model, tokenizer = KINDS[kind]
    small = {
        f"{name}_model_config": {
            "hidden_size": width, "intermediate_size": 2 * width, "num_attention_heads": 2, "num_hidden_layers": 3
        }
        for name, width in WIDTHS.items()
    }  # fmt: skip
    lengths = {}
    if kind.startswith("long"):
        small["clip_l_model_config"]["max_position_embeddings"] = LONG
        lengths["clip_l_max_length"] = LONG
    options = {"dtype": dtype, **small, "t5xxl_model_config": T5, "jina_clip_2_model_config": JINA}
    target = SimpleNamespace(params={}, clip=model, tokenizer=tokenizer)
    if quantised is not None:
        if "state_dict" not in inspect.signature(comfy.sd.CLIP).parameters:
            raise RuntimeError("this ComfyUI reads no quantised text encoders")
        options["quantization_metadata"] = {"mixed_ops": True}
        return comfy.sd.CLIP(target, model_options=options, state_dict=quantised)
    clip = comfy.sd.CLIP(target, model_options=options, tokenizer_data=lengths)
    _fill(clip.cond_stage_model, seed)
    return clip


def _quantised(kind, plain):
    """The same weights with every linear layer of the transformers in fp8 with a scale, as such files hold them."""
    state = {}
    for name, value in plain.cond_stage_model.state_dict().items():
        if ".encoder.layers." in name and name.endswith(("proj.weight", "fc1.weight", "fc2.weight")):
            scale = value.float().abs().max() / 448
            state[name] = (value.float() / scale).to(torch.float8_e4m3fn)
            state[name.replace("weight", "weight_scale")] = scale
            config = json.dumps({"format": "float8_e4m3fn"}).encode()
            state[name.replace("weight", "comfy_quant")] = torch.tensor(list(config), dtype=torch.uint8)
        else:
            state[name] = value
    return _clip(kind, torch.float32, quantised=state)


@torch.no_grad()
def _fill(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, value in sorted(model.named_parameters()):
        if "norm" in name or name.endswith("bias"):
            fresh = torch.ones(value.shape) if name.endswith("weight") else torch.zeros(value.shape)
        else:
            fresh = torch.randn(value.shape, generator=generator) * (0.5 if "embedding" in name else 0.15)
        value.copy_(fresh.to(value.dtype))


NODES = {
    "ProbeProducts": Products,
    "ProbeCasts": Casts,
    "ProbeHeld": StillHeld,
    "ProbeSmallClip": SmallClip,
    "ProbeSmallVision": SmallVision,
    "ProbeTowerSimilarity": TowerSimilarity,
    "ProbeStatesSimilarity": StatesSimilarity,
}
