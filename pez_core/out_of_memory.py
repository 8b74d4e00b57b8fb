"""Running out of the device's memory, and going on with less."""

from __future__ import annotations

import gc

import torch

MESSAGES = ("out of memory", "can't allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device had no memory left: CUDA has a class for it, other devices only say so."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(message in str(error).lower() for message in MESSAGES)
    )


def free_unused() -> None:
    """Give back what the failed attempt held."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
