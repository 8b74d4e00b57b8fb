"""Pictures from texts, by the embedded generator."""

from dataclasses import replace

import pytest
import torch

from pez_core.drawing import draw, draw_texts, load_generator, token_states
from pez_core.encoders.embedded import FOLDER
from pez_core.generator import FILE, SCALE, SHIFT, SIZE, TINT, Generator, Patches, likeliest

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


def test_a_stencil_is_white_on_black_and_black_on_yellow(generator, encoder):
    texts = [f"a stencil drawing of strawberry on a {colour} background" for colour in ("black", "yellow")]
    on_black, on_yellow = draw_texts(generator, encoder, texts, seed=1).flatten(1, 2)
    assert on_black.mean(1).median() < 0.2 and (on_black.amin(1) > 0.7).float().mean() > 0.1
    assert on_yellow.mean(1).median() > 0.5 and (on_yellow.amax(1) < 0.3).float().mean() > 0.1


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
    sizes = [value.numel() * (2 if value.is_floating_point() else 1) for value in Generator().state_dict().values()]
    assert sum(sizes) == pytest.approx(path.stat().st_size, rel=0.01)


def readings(generator, encoder, *texts):
    with torch.no_grad():
        return generator.read(token_states(encoder, [encoder.vocabulary.encode(text) for text in texts]))


def test_shares_are_of_all_drawings_and_a_plain_caption_calls_for_one(generator, encoder):
    shares = readings(generator, encoder, *TEXTS).drawings()
    assert shares.shape == (2, len(generator.memory))
    assert torch.allclose(shares.sum(1), torch.ones(2))
    assert shares.amax(1).min() > 0.9 and shares.argmax(1).unique().numel() == 2


def test_of_two_captions_in_a_row_it_calls_for_one_at_least(generator, encoder):
    alone = readings(generator, encoder, *TEXTS).concepts.argmax(1)
    for pair in (TEXTS, TEXTS[::-1]):
        both = readings(generator, encoder, " ".join(pair)).concepts.softmax(1)[0]
        assert both.argmax() in alone


def test_stray_words_do_not_take_the_concept_away(generator, encoder):
    texts = "a flat drawing of strawberry", "a flat harbor drawing of strawberry quickly"
    plain, strewn = readings(generator, encoder, *texts).concepts
    assert strewn.argmax() == plain.argmax()


@pytest.fixture
def small(generator):
    """A generator that has room for two drawings."""
    small = Generator(replace(generator.shape, concepts=2, styles=1))
    small.colour_patches.load_state_dict(generator.colour_patches.state_dict())
    small.shade_patches.load_state_dict(generator.shade_patches.state_dict())
    return small


def memorise(small, coefficients):
    """Have it memorise drawings of these coefficients (2, K, 8, 8); how it keeps them."""
    colours, opacity = coefficients[:, : small.shape.colours], coefficients[:, small.shape.colours :]
    small.memorise(small.colour_patches.pictures(colours), small.shade_patches.pictures(opacity))
    return small.memory.float() * small.step.view(1, -1, 1, 1)


def test_what_is_memorised_comes_back(generator, small):
    coefficients = generator.memory[:2].float() * generator.step.view(1, -1, 1, 1)
    assert (memorise(small, coefficients) - coefficients).abs().max() <= 0.6 * small.step.max()
    assert small.memory.abs().amax((0, 2, 3)).min() == 127


def test_what_is_far_out_is_cut_off(small):
    coefficients = torch.zeros(2, 50, 8, 8)
    coefficients[0, 0, 0, 0] = 5.0
    kept = memorise(small, coefficients)
    assert small.memory[0, 0, 0, 0] == 127 and 4 < kept[0, 0, 0, 0] < 4.9


@torch.no_grad()
def test_a_plain_caption_draws_its_drawing_from_the_memory(generator, encoder):
    states = token_states(encoder, [encoder.vocabulary.encode(TEXTS[1])])
    place = generator.read(states).drawings().argmax()
    shades = generator.memory[place, generator.shape.colours :].float() * generator.step[
        generator.shape.colours :
    ].view(-1, 1, 1)
    opacity = generator.shade_patches.pictures(shades[None]).clamp(0, 1)
    assert (generator.drawn(states).ink[:, 3:] - opacity).abs().mean() < 0.01


def test_patches_give_back_what_their_components_span():
    patches = Patches(3, 192)
    patches.basis.copy_(torch.linalg.qr(torch.randn(192, 192, generator=torch.Generator().manual_seed(1)))[0])
    patches.mean.fill_(0.1)
    pictures = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(patches.pictures(patches.coefficients(pictures)), pictures, atol=1e-5)


def placement_found(generator, states, placement, time):
    """What is found of a placement in the noisy picture of it."""
    drawn, times = generator.drawn(states), torch.full((len(states), 1, 1, 1), time)
    noise = torch.randn(len(states), 3, SIZE, SIZE, generator=torch.Generator().manual_seed(4))
    return likeliest(drawn, (1 - time) * drawn.placed(placement) + time * noise, times)


@torch.no_grad()
def test_a_placement_is_found_in_a_noisy_picture_and_the_less_of_it_the_more_noise(generator, encoder):
    states = token_states(encoder, [encoder.vocabulary.encode(text) for text in TEXTS])
    placement = torch.tensor([[0.8, -0.6, 1.0, 0.5, -1.0, 0.3], [-1.0, 0.7, -0.5, 0.0, 1.0, -0.4]])
    assert (placement_found(generator, states, placement, 0.01) - placement).abs().max() < 0.1
    assert placement_found(generator, states, placement, 1.0).abs().max() == 0
    lengths = [placement_found(generator, states, placement, time).norm() for time in (0.99, 0.95, 0.1)]
    assert lengths == sorted(lengths)


@torch.no_grad()
def test_placement_moves_stretches_and_tints(generator, encoder):
    drawn = generator.drawn(token_states(encoder, [encoder.vocabulary.encode(TEXTS[0])]))
    assert drawn.ink.min() >= 0 and drawn.ink[:, 3].max() <= 1
    still = drawn.placed(torch.zeros(1, 6))
    right, down = torch.eye(6)[:2, None] / SHIFT
    assert torch.allclose(drawn.placed(right)[..., 1:], still[..., :-1], atol=1e-4)
    assert torch.allclose(drawn.placed(down)[..., 1:, :], still[..., :-1, :], atol=1e-4)
    redder = drawn.placed(torch.eye(6)[3:4]) - still
    assert redder[0, 0, 0, 0].item() == pytest.approx(TINT, rel=0.01) and redder[0, 1:].abs().max() == 0
    assert (drawn.placed(torch.eye(6)[2:3]) - still).abs().max() > 0.01


def test_pictures_of_a_text_differ_as_much_as_they_should(generator, encoder):
    """The numbers of the placement that pictures end in have a deviation of about one."""
    states = token_states(encoder, [encoder.vocabulary.encode(TEXTS[0])]).expand(48, -1, -1)
    noise = torch.randn(48, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(5))
    pictures = draw(generator, states, noise).permute(0, 3, 1, 2)
    with torch.no_grad():
        found = likeliest(generator.drawn(states), (2 * pictures - 1) * SCALE, torch.full((48, 1, 1, 1), 0.01))
    assert found.std(0).min() > 0.5 and found.std(0).max() < 1.5 and found.mean(0).abs().max() < 0.6


@torch.no_grad()
def test_of_another_picture_more_stays_the_less_noise_there_is_on_it(generator, encoder):
    states = token_states(encoder, [encoder.vocabulary.encode(TEXTS[0])])
    another = generator.drawn(token_states(encoder, [encoder.vocabulary.encode(TEXTS[1])])).placed(torch.zeros(1, 6))
    noise = torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(6))
    errors = []
    for time in (0.05, 0.3, 0.9):
        noisy = (1 - time) * another + time * noise
        clean = noisy - time * generator(noisy, torch.tensor([time]), states)
        errors.append((clean - another).square().mean().item())
    assert errors == sorted(errors) and errors[0] < 0.1 * errors[2]


def test_noise_alone_is_never_taken_for_another_picture(generator):
    noise = torch.randn(8, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(7))
    kept = generator.colour_patches.outstanding(0.5 * noise, torch.full((8, 1, 1, 1), 0.5))
    assert (kept == 0).float().mean() > 0.95
