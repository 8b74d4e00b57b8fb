"""Models that our own loaders bring, in the hands of ComfyUI's memory management: loaded, offloaded and freed by it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import comfy.model_management
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import CallbacksMP
from torch import Tensor, nn

from ...pez_core import Encoder

if TYPE_CHECKING:
    from ...pez_core.language import LanguageModel


class PezModel(nn.Module):
    """Around a model, for ComfyUI to write its notes on: models of transformers refuse some of them."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


class WholeModelPatcher(ModelPatcher):
    """For a model whose layers ComfyUI cannot cast one by one: it is on the device as a whole, or not at all."""

    def partially_unload(self, *arguments: Any, **options: Any) -> int:
        """Nothing is freed by halves, so ComfyUI goes on to unload all of it."""
        return 0


def managed_encoder(encoder: Encoder) -> Encoder:
    """The encoder, whose model is loaded when pictures or text are read, and is ComfyUI's to unload in between."""
    assert encoder.module is not None
    bring, _ = _managed(encoder.module)

    def image_features(pictures: Sequence[Tensor]) -> Tensor:
        bring()
        return encoder.image_features(pictures)

    return replace(encoder, image_features=image_features, bring=bring)


@dataclass(frozen=True)
class ManagedLanguageModel:
    """A language model that is ComfyUI's to unload; `brought` loads it, with room for the texts that it remembers."""

    model: LanguageModel
    bring: Callable[[], None]

    def brought(self) -> LanguageModel:
        self.bring()
        return self.model


def managed_language_model(model: LanguageModel) -> ManagedLanguageModel:
    """The language model, which lets go of the texts that it remembers when it is unloaded."""
    bring, patcher = _managed(model.transformers_model, model.library.most_bytes)
    patcher.add_callback(CallbacksMP.ON_DETACH, lambda *_: model.library.forget())
    return ManagedLanguageModel(model, bring)


def _managed(module: nn.Module, room: int = 0) -> tuple[Callable[[], None], WholeModelPatcher]:
    """What loads the model, with `room` bytes for its work, and its patcher, which lives as long as that does."""
    patcher = WholeModelPatcher(
        PezModel(module),
        load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.text_encoder_offload_device(),
    )

    def bring() -> None:
        comfy.model_management.load_models_gpu([patcher], memory_required=room, force_full_load=True)

    return bring, patcher
