"""Pictures from texts, by the embedded generator."""

import pytest
import torch

from pez_core.drawing import draw, draw_texts, load_generator, token_states
from pez_core.encoders.embedded import FOLDER
from pez_core.generator import FILE, SIZE, Generator, Patches

TEXTS = ["a flat drawing of strawberry on a blue background", "a glossy drawing of banana on a red background"]


@pytest.fixture(scope="module")
def generator():
    return load_generator()


@pytest.fixture(scope="module")
def drawn(generator, encoder):
    return draw_texts(generator, encoder, TEXTS, seed=1)


def similarity(encoder, picture, text):
    return (encoder.encode_images([picture])[0] @ encoder.encode_text(text)[0]).item()


def test_it_draws_rgb_pictures_of_its_size(drawn):
    assert drawn.shape == (2, SIZE, SIZE, 3)
    assert drawn.min() >= 0 and drawn.max() <= 1 and drawn.std() > 0.1


def test_a_picture_shows_what_its_text_says(drawn, encoder):
    for number in (0, 1):
        assert (
            similarity(encoder, drawn[number], TEXTS[number])
            > similarity(encoder, drawn[number], TEXTS[1 - number]) + 0.2
        )


def test_the_background_has_the_colour_that_was_named(drawn):
    corners = drawn[:, :3, :3].mean((1, 2))
    assert corners.argmax(1).tolist() == [2, 0]


def test_the_seed_alone_decides_and_another_draws_another_picture(generator, encoder, drawn):
    assert torch.equal(draw_texts(generator, encoder, TEXTS, seed=1), drawn)
    assert not torch.allclose(draw_texts(generator, encoder, TEXTS, seed=2), drawn, atol=0.02)


def test_pictures_drawn_together_are_those_drawn_alone(generator, encoder):
    """Padding to the longest text changes nothing."""
    rows = [encoder.vocabulary.encode(text) for text in ("tree", TEXTS[0])]
    noise = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(3))
    together = draw(generator, token_states(encoder, rows), noise, steps=4)
    alone = draw(generator, token_states(encoder, rows[:1]), noise[:1], steps=4)
    assert torch.allclose(together[:1], alone, atol=1e-4)


def test_no_text_and_states_of_zeros_draw_something(generator, encoder):
    for states in (token_states(encoder, [[]]), torch.zeros(1, 77, 192)):
        noise = torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(3))
        assert torch.isfinite(draw(generator, states, noise, steps=4)).all()


def test_token_states_are_zero_after_the_end_and_alike_for_a_text_in_any_company(encoder):
    rows = [encoder.vocabulary.encode(text) for text in ("tree", TEXTS[0])]
    states = token_states(encoder, rows)
    assert states.shape == (2, 2 + len(rows[1]), 192)
    assert states[0, 3:].abs().max() == 0 and states[0, :3].abs().amax(-1).min() > 0
    assert torch.allclose(states[:1, :3], token_states(encoder, rows[:1]), atol=1e-5)
    assert token_states(encoder, rows[:1], longest=20).shape[1] == 22


def test_the_file_is_small_and_fits_the_network():
    path = FOLDER / FILE
    assert path.stat().st_size <= 20e6
    assert sum(value.numel() for value in Generator().state_dict().values()) * 2 == pytest.approx(
        path.stat().st_size, rel=0.01
    )


def test_patches_give_back_what_their_components_span():
    patches = Patches(3, 192)
    patches.basis.copy_(torch.linalg.qr(torch.randn(192, 192, generator=torch.Generator().manual_seed(1)))[0])
    patches.mean.fill_(0.1)
    pictures = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(patches.pictures(patches.coefficients(pictures)), pictures, atol=1e-5)


def test_what_is_noise_alone_has_no_mean_and_what_is_a_picture_alone_has_all_of_it():
    patches = Patches(3, 192)
    patches.basis.copy_(torch.eye(192))
    patches.mean.fill_(0.25)
    ones = torch.ones(3, 3, SIZE, SIZE)
    shares = patches.coefficients(ones, torch.tensor([0.0, 0.5, 1.0]))
    assert shares.amin((1, 2, 3)).tolist() == shares.amax((1, 2, 3)).tolist() == [1.0, 0.875, 0.75]
    assert torch.equal(patches.coefficients(ones)[2:], shares[2:])
