"""TextTower: short sequences, the same features, no copies and no weight gradients."""

import open_clip
import pytest
import torch

from pez_core import PezError
from pez_core.encoders.open_clip import OpenClipTower


def test_features_equal_open_clips_over_77_positions(encoder):
    texts = ["a flat drawing of onion on a blue background", "rocket", "one two three " * 25]
    ids = [encoder.vocabulary.encode(text) for text in texts]
    whole = open_clip.SimpleTokenizer()(texts)
    text_side = encoder.tower._text
    with torch.no_grad():
        expected = text_side.encode_text(whole, normalize=True)
    assert torch.allclose(encoder.tower.encode_ids(ids), expected, atol=1e-5)


def test_positions_after_the_end_do_not_matter(encoder):
    tower = encoder.tower
    ids = torch.tensor([[tower.start_id, 320, 2368, tower.end_id]])
    padded = torch.cat([ids, torch.randint(0, 49406, (1, 20))], 1)
    end = torch.tensor([3])
    with torch.no_grad():
        assert torch.allclose(tower.encode(tower.embed(ids), end), tower.encode(tower.embed(padded), end), atol=1e-5)


def test_features_have_unit_norm_and_prompts_of_any_lengths_share_a_batch(encoder):
    features = encoder.tower.encode_ids([[320], [320, 2368, 1125], [320] * 100])
    assert torch.allclose(features.norm(dim=1), torch.ones(3))
    alone = encoder.tower.encode_ids([[320, 2368, 1125]])
    assert torch.allclose(features[1:2], alone, atol=1e-5)


def test_only_embeddings_get_a_gradient_and_no_weight_is_copied(encoder):
    tower = encoder.tower
    embedded = tower.embed(torch.tensor([[tower.start_id, 320, tower.end_id]])).requires_grad_(True)
    tower.encode(embedded, torch.tensor([2])).sum().backward()
    assert embedded.grad is not None and embedded.grad.abs().sum() > 0
    assert all(weight.grad is None and not weight.requires_grad for weight in tower._text.parameters())
    assert tower.embeddings.data_ptr() == tower._text.token_embedding.weight.data_ptr()


def test_a_text_tower_that_is_not_clips_is_refused():
    class Other(torch.nn.Module):
        pool_type = "last"

    with pytest.raises(PezError, match="model 'other' has no CLIP text tower"):
        OpenClipTower(Other(), "other", 0, 1)
