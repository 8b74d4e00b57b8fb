"""Prompts ranked by the pictures that were drawn from them."""

import pytest
import torch
import torch.nn.functional as F

from pez_core import PezError
from pez_core.picture_ranking import rank_prompts

WANTED = torch.eye(4)[:1]


def at(*cosines):
    """Unit features whose first coordinate, the similarity to what is wanted, is as given."""
    return torch.tensor([[cosine, (1 - cosine**2) ** 0.5, 0.0, 0.0] for cosine in cosines])


def test_the_prompt_whose_pictures_are_nearest_on_average_comes_first():
    ranked = rank_prompts(["low", "high", "middle"], [at(0.1, 0.3), at(0.6, 0.8), at(0.9, 0.1)], WANTED)
    assert [each.text for each in ranked] == ["high", "middle", "low"]
    assert [each.similarity for each in ranked] == pytest.approx([0.7, 0.5, 0.2])
    assert [(each.prompt, each.picture) for each in ranked] == [(1, 1), (2, 0), (0, 1)]


def test_every_wanted_picture_counts():
    wanted = torch.eye(4)[:2]
    (ranked,) = rank_prompts(["text"], [at(0.6)], wanted)
    assert ranked.similarity == pytest.approx((0.6 + 0.8) / 2)


def test_equal_prompts_stay_in_their_order_and_may_be_the_same_text():
    ranked = rank_prompts(["same", "same"], [at(0.5), at(0.5)], WANTED)
    assert [each.prompt for each in ranked] == [0, 1]


def test_it_says_when_pictures_and_prompts_are_not_as_many():
    with pytest.raises(PezError, match=r"^images hold the pictures of 1 prompts, but prompts hold 2 texts; connect"):
        rank_prompts(["a", "b"], [at(0.5)], WANTED)
    with pytest.raises(PezError, match=r"^prompts are missing; connect the texts"):
        rank_prompts([], [], WANTED)


def test_a_picture_is_nearest_to_itself(contents):
    features = F.normalize(contents.features[:3], dim=-1)
    ranked = rank_prompts(["a", "b", "c"], [feature[None] for feature in features], features[1:2])
    assert ranked[0].text == "b" and ranked[0].similarity == pytest.approx(1, abs=1e-5)
