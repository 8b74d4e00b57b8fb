"""Projection: the nearest allowed embedding by cosine."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from pez_core.optimiser.projection import CHUNK, Projection

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


def test_products_are_those_with_the_preferred_embeddings_in_their_order():
    table = torch.randn(2 * CHUNK + 5, 8, generator=torch.Generator().manual_seed(5))
    chosen = torch.arange(1, len(table))
    vectors = torch.randn(3, 8, generator=torch.Generator().manual_seed(6))
    handicap = 0.1 * (chosen % 3 == 0)
    for given, preferred in ((None, chosen), (handicap, chosen[chosen % 3 != 0])):
        products = Projection([table], chosen, given).products(vectors)
        assert torch.allclose(products, vectors @ table[preferred].T, atol=1e-5)


@pytest.mark.parametrize("kept", [0.9, 0.5])
def test_every_allowed_id_is_reached_and_no_other(kept):
    table = torch.randn(3 * CHUNK, 8, generator=torch.Generator().manual_seed(7))
    chosen = torch.rand(len(table), generator=torch.Generator().manual_seed(8)).lt(kept).nonzero()[:, 0]
    others = torch.ones(len(table)).bool().index_fill(0, chosen, False).nonzero()[:, 0]
    projection = Projection([table], chosen)
    assert torch.equal(projection(table[chosen][None])[0], chosen)
    assert torch.isin(projection(table[others][None]), chosen).all()


def test_only_the_direction_of_an_embedding_counts():
    """Tables of CLIP models have norms far below 1; an embedding of zeros has the cosine 0 to everything."""
    lengths = torch.logspace(-4, 4, 50)[:, None]
    iterate = torch.randn(1, 200, 8, generator=torch.Generator().manual_seed(9))
    expected = Projection([embeddings], allowed)(iterate)
    assert torch.equal(Projection([embeddings * lengths], allowed)(iterate * 1e-3), expected)
    with_zeros = embeddings.clone()
    with_zeros[0] = 0
    unaffected = expected != 0
    assert torch.equal(Projection([with_zeros], allowed)(iterate)[unaffected], expected[unaffected])


class Work(TorchDispatchMode):
    """Counts gathers of whole rows, and the largest number of rows that anything has."""

    def __init__(self):
        super().__init__()
        self.gathers, self.rows = 0, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        self.gathers += function.name().startswith("aten::index.Tensor") and made.ndim == 2
        if isinstance(made, torch.Tensor) and made._base is None:
            self.rows = max(self.rows, made.shape[0] if made.ndim else 0)
        return made


@pytest.mark.parametrize(("left_out_every", "gathers"), [(8, 0), (2, 3)])
def test_it_searches_in_pieces_that_are_copied_only_where_much_is_left_out(left_out_every, gathers):
    table = torch.randn(6 * CHUNK, 8, generator=torch.Generator().manual_seed(10))
    ids = torch.arange(len(table))
    chosen = ids[ids % left_out_every != 0][: 3 * CHUNK]
    projection = Projection([table], chosen)
    with Work() as work:
        projection(table[None, :4])
    assert work.gathers == gathers
    assert work.rows <= CHUNK if gathers else work.rows <= CHUNK * 8 / 7 + 1


def test_everything_is_made_where_the_table_is_whatever_the_default_device():
    iterate = torch.randn(1, 3, 8)
    for chosen in (allowed, torch.arange(50)):
        expected = Projection([embeddings], chosen)(iterate)
        with torch.device("meta"):
            found = Projection([embeddings], chosen)(iterate)
        assert torch.equal(found, expected)
