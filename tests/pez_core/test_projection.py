"""Projection: the nearest allowed embedding by cosine."""

import pytest
import torch
import torch.nn.functional as F

from pez_core.projection import CHUNK, Projection

embeddings = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
allowed = torch.arange(0, 50, 3)


def test_it_finds_the_nearest_allowed_embedding():
    iterate = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(1))
    ids = Projection([embeddings], allowed)(iterate)
    for point, found in zip(iterate.reshape(-1, 8), ids.reshape(-1)):
        cosines = F.cosine_similarity(point[None], embeddings[allowed])
        assert found == allowed[cosines.argmax()]


def test_an_allowed_embedding_projects_onto_itself_at_any_length():
    ids = Projection([embeddings], allowed)(embeddings[allowed][None] * 7)
    assert ids[0].tolist() == allowed.tolist()


def test_random_ids_are_allowed_and_follow_the_seed():
    projection = Projection([embeddings], allowed)
    first, second = (projection.random_ids((4, 6), torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second) and set(first.flatten().tolist()) <= set(allowed.tolist())


@pytest.mark.parametrize("every", [1, 7])
def test_a_large_vocabulary_is_searched_in_pieces_whole_or_gathered(every):
    table = torch.randn(3 * CHUNK, 8, generator=torch.Generator().manual_seed(2))
    dense = torch.arange(len(table))
    chosen = dense[dense % 100 != 5][::every]
    iterate = torch.randn(2, 9, 8, generator=torch.Generator().manual_seed(3))
    cosines = F.normalize(iterate, dim=-1) @ F.normalize(table[chosen], dim=-1).T
    assert torch.equal(Projection([table], chosen)(iterate), chosen[cosines.argmax(-1)])


def test_a_handicap_is_taken_off_the_cosine():
    handicap = 0.3 * (allowed % 2 == 0)
    iterate = torch.randn(1, 200, 8, generator=torch.Generator().manual_seed(4))
    cosines = F.normalize(iterate, dim=-1) @ F.normalize(embeddings[allowed], dim=-1).T
    projection = Projection([embeddings], allowed, handicap)
    assert torch.equal(projection(iterate), allowed[(cosines - handicap).argmax(-1)])
    assert not torch.equal(projection(iterate), Projection([embeddings], allowed)(iterate))
    assert torch.equal(projection.preferred, allowed[allowed % 2 == 1])
