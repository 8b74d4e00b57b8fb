"""Pictures: opened, checked, and brought to RGB."""

import numpy as np
import pytest
import torch
from PIL import Image

from pez_core import PezError, open_pictures
from pez_core.encoders.pictures import as_pil, as_rgb


def test_every_mode_of_file_opens(tmp_path):
    for mode in ("RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "I;16"):
        path = tmp_path / f"{mode.replace(';', '')}.{'tiff' if mode == 'CMYK' else 'png'}"
        Image.new(mode, (5, 3)).save(path)
        (picture,) = open_pictures([path])
        assert as_rgb(picture).shape == (3, 5, 3)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bit_greys_keep_their_shades(tmp_path, suffix):
    shades = np.array([[0, 2**15, 2**16 - 1]], dtype=np.uint16)
    path = tmp_path / f"grey.{suffix}"
    Image.fromarray(shades).save(path)
    (picture,) = open_pictures([path])
    assert torch.allclose(as_rgb(picture)[0, :, 0], torch.tensor([0.0, 0.5, 1.0]), atol=1e-4)


def test_float_greys_are_from_0_to_1(tmp_path):
    Image.fromarray(np.array([[0.0, 0.25, 1.0]], dtype=np.float32)).save(tmp_path / "grey.tiff")
    (picture,) = open_pictures([tmp_path / "grey.tiff"])
    assert torch.equal(as_rgb(picture)[0, :, 0], torch.tensor([0.0, 0.25, 1.0]))


def test_transparency_lies_on_white_and_grey_fills_all_channels():
    clear = torch.zeros(2, 2, 4)
    assert torch.equal(as_rgb(clear), torch.ones(2, 2, 3))
    assert torch.equal(as_rgb(torch.full((2, 2, 1), 0.5)), torch.full((2, 2, 3), 0.5))


def test_eight_bits_survive():
    pixels = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    assert np.array_equal(np.asarray(as_pil(torch.from_numpy(pixels).float() / 255)), pixels)


def test_no_pictures_missing_empty_and_broken_files_are_refused(tmp_path):
    with pytest.raises(PezError, match="pictures are missing"):
        open_pictures([])
    with pytest.raises(PezError, match=r"picture '.*gone.png' does not exist"):
        open_pictures([tmp_path / "gone.png"])
    for name, content in (("empty.png", b""), ("text.png", b"not a picture"), ("cut.png", b"\x89PNG\r\n\x1a\n1234")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(PezError, match=f"picture '.*{name}' cannot be read"):
            open_pictures([tmp_path / name])
    with pytest.raises(PezError, match="cannot be read"):
        open_pictures([tmp_path])


@pytest.mark.parametrize("shape", [(3, 3), (3, 3, 2), (0, 3, 3), (1, 3, 3, 3)])
def test_odd_shapes_are_refused(shape):
    with pytest.raises(PezError, match="picture has the shape"):
        as_rgb(torch.zeros(shape))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_and_infinity_are_refused(value):
    with pytest.raises(PezError, match="picture holds NaN or infinite values"):
        as_rgb(torch.full((2, 2, 3), value))
