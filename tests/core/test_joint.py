"""Two towers that read the same tokens: one iterate, one prompt, the mean of their similarities."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

from pez_core import Encoder, SearchSettings, invert
from pez_core.encoders.joint import JointTower, side_by_side
from pez_core.encoders.open_clip import OpenClipTower
from pez_core.encoders.tower import unit
from pez_core.objectives import Match
from pez_core.optimiser.projection import Projection
from pez_core.search import search

VISION = CLIPVisionCfg(layers=1, width=32, head_width=32, patch_size=32, image_size=64)
TEXT = CLIPTextCfg(width=64, heads=2, layers=2)
IDS = [[320, 1125, 539], [2368], [320] * 75]


@pytest.fixture(scope="module")
def other(encoder):
    torch.manual_seed(3)
    model = CLIP(48, VISION, TEXT)
    return OpenClipTower(model, "other", encoder.tower.start_id, encoder.tower.end_id)


@pytest.fixture(scope="module")
def joint(encoder, other):
    return JointTower([encoder.tower, other])


def test_a_product_of_features_is_the_mean_similarity_of_the_towers(encoder, other, joint):
    first, second, both = (tower.encode_ids(IDS) for tower in (encoder.tower, other, joint))
    assert both.shape == (3, first.shape[1] + second.shape[1])
    assert torch.allclose(both.norm(dim=1), torch.ones(3), atol=1e-5)
    assert torch.allclose(both @ both.T, (first @ first.T + second @ second.T) / 2, atol=1e-5)


def test_the_iterate_lives_in_both_embedding_spaces_and_projects_to_one_token(encoder, other, joint):
    assert [table.shape for table in joint.tables] == [(49408, encoder.tower.width), (49408, 64)]
    assert joint.width == encoder.tower.width + 64
    ids = torch.tensor([[320, 1125]])
    assert torch.equal(joint.embed(ids), torch.cat([encoder.tower.embed(ids), other.embed(ids)], -1))


def test_the_nearest_token_does_not_depend_on_the_sizes_of_the_tables(encoder, other):
    """Whatever one table is multiplied by, each tower has the same say in what a point is nearest to."""
    tables = [encoder.tower.embeddings, other.embeddings]
    generator = torch.Generator().manual_seed(4)
    one, two = (torch.randn(2, 9, table.shape[1], generator=generator) for table in tables)
    allowed = encoder.vocabulary.allowed_ids()
    cosines = [F.normalize(v, dim=-1) @ F.normalize(t[allowed], dim=-1).T for v, t in zip((one, two), tables)]
    expected = allowed[sum(cosines).argmax(-1)]
    for factor in (0.01, 1.0, 100.0):
        projection = Projection([tables[0], factor * tables[1]], allowed)
        assert torch.equal(projection(torch.cat([one, factor * two], -1)), expected)


def test_gradients_weigh_tokens_by_both_tables(encoder, other, joint):
    projection = Projection(joint.tables, encoder.vocabulary.allowed_ids())
    vectors = torch.randn(3, joint.width, generator=torch.Generator().manual_seed(5))
    both = torch.cat([table[projection.preferred] for table in joint.tables], 1)
    assert torch.allclose(projection.products(vectors), vectors @ both.T, atol=1e-3)


def test_of_a_long_text_each_tower_reads_as_much_as_it_can(encoder, other):
    torch.manual_seed(4)
    longer = OpenClipTower(
        CLIP(48, VISION, CLIPTextCfg(width=64, heads=2, layers=2, context_length=248)), "longer", other.start_id,
        other.end_id,
    )  # fmt: skip
    joint, text = JointTower([other, longer]), [[320] * 74 + [2368, 539] * 60]
    assert joint.window == 75
    expected = side_by_side([other.encode_ids([text[0][:75]]), longer.encode_ids(text)])
    assert torch.allclose(joint.encode_ids(text), expected, atol=1e-6)


def test_a_remembered_start_changes_nothing(joint):
    ids = torch.tensor([[joint.start_id, *IDS[0], joint.end_id]])
    whole = joint.encode(joint.embed(ids), torch.tensor([4]))
    after = joint.encode(joint.embed(ids[:, 2:]), torch.tensor([2]), joint.remember(ids[0, :2].tolist()))
    assert torch.allclose(whole, after, atol=1e-5)


def test_one_text_is_found_that_both_towers_know(encoder, other, joint, contents):
    """The second tower is random, and what it wants is what it makes of a text; both similarities rise."""
    wanted = other.encode_ids([encoder.vocabulary.encode("red rocket drawing")])
    target = side_by_side([contents.features[:1], wanted])
    settings = SearchSettings(language=0, tokens=5, steps=60, candidates=2, seed=1)
    both = replace(encoder, tower=joint)
    found = search(both, Match(target), settings)
    ids = encoder.vocabulary.encode(found.text)
    first = (encoder.tower.encode_ids([ids]) @ contents.features[0]).item()
    second = (other.encode_ids([ids]) @ wanted[0]).item()
    assert found.similarity == pytest.approx((first + second) / 2, abs=1e-5)
    start = search(both, Match(target), SearchSettings(language=0, tokens=5, steps=1, refinement=0, seed=1))
    assert found.similarity > start.similarity + 0.1


def test_an_encoder_of_both_inverts_pictures(encoder, other, joint, contents):
    def image_features(pictures):
        return side_by_side([encoder.encode_images(pictures), unit(torch.ones(len(pictures), 48))])

    both = Encoder(joint, encoder.vocabulary, image_features)
    targets = both.encode_images([torch.rand(8, 8, 3)])
    assert invert(both, targets, SearchSettings(language=0, tokens=3, steps=3, refinement=0)).text
    assert both.name == "embedded + other"
