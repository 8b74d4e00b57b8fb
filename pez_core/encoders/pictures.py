"""Pictures as float tensors (H, W, channels) with values 0 to 1: opened, checked, and brought to RGB."""

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ..errors import PezError

GREYS = 2**16 - 1


def open_pictures(paths: Sequence[Path]) -> list[Tensor]:
    """Pictures (H, W, 4) from files, turned upright; (H, W, 1) from files of 16-bit greys.

    Raises PezError when there is none, and for a file that is missing, empty or not a picture.
    """
    if not paths:
        raise PezError("pictures are missing; give at least one picture file.")
    return [open_picture(path, str(path)) for path in paths]


def open_picture(file: Path | BinaryIO, name: str) -> Tensor:
    """A picture as `open_pictures` gives it, from a file or its content. Raises PezError, which names it `name`."""
    try:
        with Image.open(file) as picture:
            upright = ImageOps.exif_transpose(picture)
            if upright.mode.startswith(("I", "F")):
                return _grey(upright)
            rgba = upright.convert("RGBA")
    except FileNotFoundError as error:
        raise PezError(f"picture {name!r} does not exist; check the path.") from error
    except Exception as error:  # of nearly any kind, on a broken picture
        raise PezError(f"picture {name!r} cannot be read; give a whole PNG, JPEG or WebP file.") from error
    return torch.from_numpy(np.array(rgba)).float() / 255


def _grey(picture: Image.Image) -> Tensor:
    """A picture (H, W, 1) whose greys have 16 bits, or are floats from 0 to 1."""
    values = torch.from_numpy(np.array(picture, dtype=np.float32))[..., None]
    return values if picture.mode == "F" else values / GREYS


def as_rgb(picture: Tensor) -> Tensor:
    """The picture (H, W, 3): grey in all channels, transparency laid on white, values clamped to 0 to 1.

    Raises PezError for other shapes, empty pictures and NaN.
    """
    if picture.ndim != 3 or picture.shape[-1] not in (1, 3, 4) or not picture.numel():
        raise PezError(f"picture has the shape {tuple(picture.shape)}; give height × width × 1, 3 or 4 channels.")
    if not torch.isfinite(picture).all():
        raise PezError("picture holds NaN or infinite values; check the node or file that it comes from.")
    picture = picture.float().clamp(0, 1)
    if picture.shape[-1] == 4:
        alpha = picture[..., 3:]
        picture = picture[..., :3] * alpha + (1 - alpha)
    return picture.expand(*picture.shape[:2], 3)


def as_pil(picture: Tensor) -> Image.Image:
    """An RGB picture (H, W, 3) in 8 bits per channel."""
    return Image.fromarray((picture.cpu() * 255).round().byte().numpy())
