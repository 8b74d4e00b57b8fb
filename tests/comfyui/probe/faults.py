"""Trouble, made on purpose: a click on Cancel at a given step, a device without memory, pictures of every kind."""

import dataclasses
import sys

import comfy.model_management
import torch

clicks: list[int] = []


class CancelAt:
    """Passes a picture on, and clicks Cancel right after the search has taken so many steps; 0 never does."""

    CATEGORY, FUNCTION, RETURN_TYPES = "probe", "run", ("IMAGE",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"image": ("IMAGE",), "step": ("INT", {"default": 0}), "nonce": ("INT", {"default": 0})}}

    def run(self, image, step, nonce):
        if step:
            self._arm(step)
        return (image,)

    def _arm(self, step):
        """`clicks` gets the number of times that the search looked at the button from the click on."""
        original = comfy.model_management.throw_exception_if_processing_interrupted
        seen = 0

        def look():
            nonlocal seen
            seen += 1
            try:
                original()
            except BaseException:
                comfy.model_management.throw_exception_if_processing_interrupted = original
                clicks.append(seen - step)
                raise
            if seen == step:
                comfy.model_management.interrupt_current_processing()

        comfy.model_management.throw_exception_if_processing_interrupted = look


class Clicks:
    """How many steps each cancelled search took after the click."""

    CATEGORY, FUNCTION, RETURN_TYPES, OUTPUT_NODE = "probe", "run", (), True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"nonce": ("INT", {"default": 0})}}

    def run(self, nonce):
        return {"ui": {"text": [list(clicks)]}}


class Cramped:
    """A PEZ_ENCODER on a device that holds only so many sequences."""

    CATEGORY, FUNCTION, RETURN_TYPES = "probe", "run", ("PEZ_ENCODER",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"encoder": ("PEZ_ENCODER",), "room": ("INT", {"default": 4})}}

    def run(self, encoder, room):
        class Tower(type(encoder.tower)):
            def encode(self, embedded, ends, past=()):
                if len(embedded) > room:
                    raise torch.OutOfMemoryError("CUDA out of memory.")
                return super().encode(embedded, ends, past)

        tower = Tower.__new__(Tower)
        tower.__dict__ |= encoder.tower.__dict__
        return (dataclasses.replace(encoder, tower=tower),)


class Picture:
    """A batch of pictures of any shape and value; a negative value stands for NaN."""

    CATEGORY, FUNCTION, RETURN_TYPES = "probe", "run", ("IMAGE",)

    @classmethod
    def INPUT_TYPES(cls):
        number = ("INT", {"default": 1})
        return {
            "required": {
                **dict.fromkeys(("batch", "height", "width", "channels"), number),
                "value": ("FLOAT", {"default": 0}),
            }
        }

    def run(self, batch, height, width, channels, value):
        return (torch.full((batch, height, width, channels), value if value >= 0 else float("nan")),)


class Loaded:
    """The kinds of models that ComfyUI holds loaded; `unload` frees them all first, as short memory does."""

    CATEGORY, FUNCTION, RETURN_TYPES, OUTPUT_NODE = "probe", "run", (), True

    @classmethod
    def INPUT_TYPES(cls):
        number = {"nonce": ("INT", {"default": 0}), "unload": ("BOOLEAN", {"default": False})}
        models = {"encoder": ("PEZ_ENCODER",), "language_model": ("PEZ_LANGUAGE_MODEL",)}
        return {"required": number, "optional": models}

    def run(self, nonce, unload, encoder=None, language_model=None):
        if unload:
            comfy.model_management.unload_all_models()
        models = [loaded.model.model for loaded in comfy.model_management.current_loaded_models]
        kinds = [type(getattr(model, "module", model)).__name__ for model in models]
        remembered = 0 if language_model is None else language_model.model.prefixes.kept_bytes
        return {"ui": {"text": [kinds, remembered]}}


class Modules:
    """Which of the heavy libraries have been imported so far."""

    CATEGORY, FUNCTION, RETURN_TYPES, OUTPUT_NODE = "probe", "run", (), True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    def run(self):
        return {"ui": {"text": [name for name in ("open_clip", "matplotlib") if name in sys.modules]}}


NODES = {
    "ProbeCancelAt": CancelAt,
    "ProbeClicks": Clicks,
    "ProbeCramped": Cramped,
    "ProbePicture": Picture,
    "ProbeModules": Modules,
    "ProbeLoaded": Loaded,
}
