"""Test-only nodes, loaded into the real server: they look at the very models that the PEZ nodes used."""

import hashlib

import torch

from . import faults, language_models, small_models


class Fingerprint:
    """A hash of every weight and buffer of a CLIP and a CLIP_VISION."""

    CATEGORY, FUNCTION, RETURN_TYPES, OUTPUT_NODE = "probe", "run", (), True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"clip": ("CLIP",), "clip_vision": ("CLIP_VISION",), "nonce": ("INT", {"default": 0})}}

    def run(self, clip, clip_vision, nonce):
        clip.load_model()
        digest = hashlib.sha256()
        for model in (clip.cond_stage_model, clip_vision.model):
            for name, value in sorted(model.state_dict().items()):
                digest.update(name.encode() + value.cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
        return {"ui": {"text": [digest.hexdigest()]}}


class Similarity:
    """Image–text similarity by ComfyUI's own tokenizer and encoders, times the projection that the CLIP holds."""

    CATEGORY, FUNCTION, RETURN_TYPES, OUTPUT_NODE = "probe", "run", (), True

    @classmethod
    def INPUT_TYPES(cls):
        kinds = {
            "clip": ("CLIP",),
            "clip_vision": ("CLIP_VISION",),
            "image": ("IMAGE",),
            "conditioning": ("CONDITIONING",),
        }
        return {
            "required": {**kinds, "text": ("STRING", {"forceInput": True}), "reported": ("FLOAT", {"forceInput": True})}
        }

    def run(self, clip, clip_vision, image, conditioning, text, reported):
        tokens = clip.tokenize(text)
        states, pooled = clip.encode_from_tokens(tokens, return_pooled="unprojected")
        projected = pooled @ clip.cond_stage_model.clip_l.transformer.text_projection.weight.float().to(pooled.device).T
        seen = clip_vision.encode_image(image).image_embeds
        similarity = torch.nn.functional.cosine_similarity(projected, seen).mean().item()
        same = torch.equal(states, conditioning[0][0])
        weights = {weight for window in tokens["l"] for _, weight in window}
        return {"ui": {"text": [similarity, reported, text, same, sorted(weights)]}}


class NoisyImage:
    """A picture with NaN in it, as a broken node upstream would give."""

    CATEGORY, FUNCTION, RETURN_TYPES = "probe", "run", ("IMAGE",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    def run(self):
        return (torch.full((1, 32, 32, 3), float("nan")),)


class Painted:
    """A batch of noise, the same for the same text: what a model drew from it."""

    CATEGORY, FUNCTION, RETURN_TYPES = "probe", "run", ("IMAGE",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"text": ("STRING", {"forceInput": True}), "count": ("INT", {"default": 1})}}

    def run(self, text, count):
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
        return (torch.rand(count, 32, 32, 3, generator=torch.Generator().manual_seed(seed)),)


NODE_CLASS_MAPPINGS = {
    "ProbeFingerprint": Fingerprint,
    "ProbeSimilarity": Similarity,
    "ProbeNoisyImage": NoisyImage,
    "ProbePainted": Painted,
    **small_models.NODES,
    **faults.NODES,
    **language_models.NODES,
}
