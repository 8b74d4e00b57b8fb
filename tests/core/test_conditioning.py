"""ConditioningTower: what a sampler sees of a text, as one feature."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from pez_core import Encoder, PezError, SearchSettings, conditioning_encoder, distill
from pez_core.encoders.conditioning import ConditioningTower
from pez_core.encoders.joint import JointTower

PROMPT = "a glossy drawing of a smiling cat face and one red rose on a blue background"


@pytest.fixture(scope="module")
def conditioning(encoder):
    return ConditioningTower(encoder.tower)


def states_of(encoder, text: str) -> torch.Tensor:
    """Token states (77, D) of open_clip's own text transformer, normed as its last layer's are."""
    tower = encoder.tower
    ids = encoder.vocabulary.encode(text)
    row = [tower.start_id, *ids, tower.end_id] + [0] * (75 - len(ids))
    model = tower._text
    with torch.no_grad():
        states = model.token_embedding(torch.tensor([row])) + model.positional_embedding
        return model.ln_final(model.transformer(states, attn_mask=model.attn_mask))[0]


def test_the_feature_is_the_mean_state_of_every_position_but_the_start(encoder, conditioning):
    ids = [encoder.vocabulary.encode(text) for text in (PROMPT, "rocket")]
    expected = torch.stack([F.normalize(states_of(encoder, text)[1:].mean(0), dim=0) for text in (PROMPT, "rocket")])
    assert torch.allclose(conditioning.encode_ids(ids), expected, atol=1e-4)


def test_a_remembered_start_counts_too(encoder, conditioning):
    ids = [conditioning.start_id, *encoder.vocabulary.encode(PROMPT), conditioning.end_id]
    embedded = conditioning.embed(torch.tensor([ids]))
    whole = conditioning.encode(embedded, torch.tensor([len(ids) - 1]))
    after = conditioning.encode(embedded[:, 4:], torch.tensor([len(ids) - 5]), conditioning.remember(ids[:4]))
    assert torch.allclose(whole, after, atol=1e-5)


def test_fewer_layers_give_the_states_of_an_earlier_one(encoder):
    ids = [encoder.vocabulary.encode(PROMPT)]
    last, earlier = (ConditioningTower(encoder.tower, layers, False).encode_ids(ids) for layers in (3, 2))
    assert (last @ earlier.T).item() < 0.999


def test_a_prompt_is_distilled_by_its_token_states(encoder):
    found = distill(
        conditioning_encoder(encoder), PROMPT, SearchSettings(language=0, steps=30, candidates=2, seed=1), ratio=0.4
    )
    one, other = (F.normalize(states_of(encoder, text)[1:].mean(0), dim=0) for text in (PROMPT, found.text))
    assert found.similarity == pytest.approx((one @ other).item(), abs=1e-4)
    nothing = F.normalize(states_of(encoder, "")[1:].mean(0), dim=0)
    assert found.similarity > (one @ nothing).item() + 0.02


def test_towers_that_are_joined_have_no_states_of_their_own(encoder):
    joined = Encoder(JointTower([encoder.tower, encoder.tower]), encoder.vocabulary, encoder.image_features)
    with pytest.raises(
        PezError, match="mode conditioning does not go with model 'embedded \\+ embedded'; choose pooled"
    ):
        conditioning_encoder(joined)
