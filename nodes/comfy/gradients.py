"""Gradients inside a node: ComfyUI runs nodes in inference mode, where there are none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def differentiable() -> Iterator[None]:
    """Leave inference mode, as a search and the weights that it loads must."""
    with torch.inference_mode(False), torch.enable_grad():
        yield
