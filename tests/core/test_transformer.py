"""CLIP's transformer on short sequences: a remembered start and one position read give what the whole gives."""

import torch

from pez_core.encoders.transformer import past_length


def test_a_remembered_start_changes_nothing(encoder):
    tower = encoder.tower
    ids = torch.tensor([[tower.start_id, 320, 2368, 1125, 525, tower.end_id]] * 2)
    ids[1, 3] = 4000
    whole = tower.encode(tower.embed(ids), torch.tensor([5, 5]))
    for length in (1, 3):
        past = tower.remember(ids[0, :length].tolist())
        assert past_length(past) == length
        rest = tower.encode(tower.embed(ids[:, length:]), torch.tensor([5 - length] * 2), past)
        assert torch.allclose(rest, whole, atol=1e-5)


def test_gradients_flow_past_the_remembered_start(encoder):
    tower = encoder.tower
    ids = [tower.start_id, 320, 2368, 1125, tower.end_id]
    gradients = []
    for length in (0, 2):
        embedded = tower.embed(torch.tensor([ids[length:]])).requires_grad_(True)
        past = tower.remember(ids[:length]) if length else ()
        features = tower.encode(embedded, torch.tensor([4 - length]), past)
        gradients.append(torch.autograd.grad(features[0, 0], embedded)[0][:, 2 - length :])
    assert torch.allclose(gradients[0], gradients[1], atol=1e-6)
