"""Running out of the device's memory, and going on with less."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from .choice import best_device

T = TypeVar("T")

MESSAGES = ("out of memory", "can't allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device had no memory left: CUDA has a class for it, other devices only say so."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(message in str(error).lower() for message in MESSAGES)
    )


def in_parts(judge: Callable[[Any], T], items: Any, together: int) -> list[T]:
    """`items`, a sequence or tensor, judged `together` at a time, or fewer where so many do not fit the memory."""
    while True:
        try:
            return [judge(items[first : first + together]) for first in range(0, len(items), together)]
        except RuntimeError as error:
            if not is_out_of_memory(error) or together == 1:
                raise
        free_unused()
        together //= 2


def free_unused() -> None:
    """Give back what the failed attempt held."""
    gc.collect()
    kind = best_device().type
    if kind != "cpu":
        getattr(torch, kind).empty_cache()
