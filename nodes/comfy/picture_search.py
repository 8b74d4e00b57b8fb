"""What the nodes that learn a prompt from pictures do alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor

from ...pez_core import Encoder, HardPrompt, SearchSettings
from . import sockets
from .encoders import picture_encoder
from .gradients import differentiable
from .language_prior import prior_of
from .progress import on_search_step


def search_pictures(
    task: Callable[..., HardPrompt],
    pictures: Iterable[Tensor],
    others: Iterable[Tensor] | None,
    clip: Any,
    hidden: Any,
    *,
    prompt_length: int,
    steps: int,
    seed: int,
    candidates: int,
    language: float = SearchSettings.language,
    language_model: Any = None,
    clip_vision: Any = None,
    clip_vision_2: Any = None,
    encoder: Encoder | None = None,
    settings: SearchSettings | None = None,
    projection_file: str | None = None,
) -> tuple[HardPrompt, Encoder]:
    """The prompt that a `task` of pez_core finds for pictures and away from `others`, and the encoder it used.

    The keywords are named as the inputs that `sockets` gives these nodes.
    """
    search = sockets.merged(
        settings, tokens=prompt_length, steps=steps, seed=seed, candidates=candidates, language=language
    )
    with differentiable():
        model = picture_encoder(clip, (clip_vision, clip_vision_2), encoder, projection_file, hidden)
        repelling = None if others is None else model.encode_images(list(others))
        on_step = on_search_step(search, hidden)
        targets, prior = model.encode_images(list(pictures)), prior_of(language_model, model, search)
        return task(model, targets, search, repelling, on_step, prior), model
