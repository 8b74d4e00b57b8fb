"""Refinement: one token at a time, first those that the gradient ranks highest, never worse."""

import pytest
import torch
from offers import told

from pez_core.optimiser.judge import Verdict
from pez_core.optimiser.projection import Projection
from pez_core.optimiser.refinement import SWAPS, Refinement

TABLE = torch.randn(3 * SWAPS, 6, generator=torch.Generator().manual_seed(0))
ALLOWED = torch.arange(0, 3 * SWAPS, 2)


class Linear:
    """A judge that is linear in the embeddings, so that the gradient ranks swaps as they are."""

    wanted = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))

    def verdict(self, ids):
        score = (TABLE[ids] * self.wanted).sum((1, 2))
        return Verdict(score, score)

    def with_gradient(self, ids):
        return self.verdict(ids), -self.wanted[None]

    def swaps(self, learned, position, tokens):
        ids = torch.tensor([list(learned)]).repeat(len(tokens), 1)
        ids[:, position] = tokens
        return self.verdict(ids)


def rounds(count, start=(0, 2, 4), accepts=False, judge=None):
    """What so many rounds offer, as lists; with `accepts`, each goes on from the best that was offered."""
    refinement = Refinement(judge or Linear(), Projection([TABLE], ALLOWED), torch.Generator().manual_seed(0))
    learned, best, seen = start, float("-inf"), []
    for _ in range(count):
        ids, scores, reported = told(refinement.round(learned))
        seen.append((ids, scores, reported))
        if accepts and max(scores) > best:
            best = max(scores)
            learned = tuple(ids[scores.index(best)])
    return seen


def test_it_finds_the_best_token_of_every_position():
    *_, (ids, scores, _) = rounds(3, accepts=True)
    best = [ALLOWED[(TABLE[ALLOWED] @ wanted).argmax()].item() for wanted in Linear.wanted]
    assert ids[scores.index(max(scores))] == best


def test_a_round_changes_one_position_and_stays_within_the_allowed_ids():
    for offered, _, _ in rounds(4):
        changed = {place for row in offered for place, (new, old) in enumerate(zip(row, (0, 2, 4))) if new != old}
        assert len(changed) == 1
        assert {token for row in offered for token in row} <= set(ALLOWED.tolist())


def test_positions_tried_in_vain_get_the_next_tokens_of_the_ranking():
    offers = rounds(6)
    tokens = [{row[place] for row in offered for place in range(3)} for offered, _, _ in offers]
    places = [next(p for p in range(3) if len({row[p] for row in offered}) > 1) for offered, _, _ in offers]
    for place in range(3):
        first, second = (tokens[index] - {0, 2, 4} for index in range(6) if places[index] == place)
        assert len(first) >= SWAPS - 3 and not first & second


def test_the_ranking_follows_the_prompt():
    """A judge whose gradient turns around with the first token: each round offers the first of the new ranking."""

    class Turning(Linear):
        def with_gradient(self, ids):
            judged, gradient = super().with_gradient(ids)
            return judged, gradient * (1 if ids[0, 0] == 0 else -1)

    refinement = Refinement(Turning(), Projection([TABLE], ALLOWED), torch.Generator().manual_seed(0))
    for first, sign in ((0, 1), (8, -1), (0, 1), (6, -1)):
        offered, _, _ = told(refinement.round((first, 2, 4)))
        place = next(place for place in range(3) if len({row[place] for row in offered}) > 1)
        ranking = (sign * TABLE[ALLOWED] @ Linear.wanted[place]).argsort(descending=True)
        assert [row[place] for row in offered] == ALLOWED[ranking[:SWAPS]].tolist()


def test_the_order_of_positions_comes_from_the_generator_alone():
    torch.manual_seed(1)
    first = rounds(12)
    torch.manual_seed(2)
    assert rounds(12) == first


@pytest.mark.parametrize("rounds_before", [1, 4, 8])
def test_a_refinement_goes_on_from_its_state(rounds_before):
    """In the middle of the positions, and when some ranks have been tried in vain."""
    learned, projection, draws = (0, 2, 4), Projection([TABLE], ALLOWED), torch.Generator().manual_seed(3)
    whole = Refinement(Linear(), projection, draws, swaps=7)
    for _ in range(rounds_before):
        whole.round(learned)
    resumed_draws = torch.Generator()
    resumed_draws.set_state(draws.get_state())
    resumed = Refinement(Linear(), projection, resumed_draws, swaps=7)
    resumed.restore(whole.state())
    for _ in range(9):
        assert told(resumed.round(learned)) == told(whole.round(learned))


def test_the_judge_gets_ids_where_the_vocabulary_is_whatever_the_default_device():
    class Watched(Linear):
        def with_gradient(self, ids):
            assert ids.device == ALLOWED.device
            return super().with_gradient(ids)

    refinement = Refinement(Watched(), Projection([TABLE], ALLOWED), torch.Generator())
    refinement.round((0, 2, 4))
    state = refinement.state()
    with torch.device("meta"):
        refinement.restore(state)


def test_its_state_is_whole_numbers_even_when_parts_are_empty():
    state = Refinement(Linear(), Projection([TABLE], ALLOWED), torch.Generator()).state()
    assert {name: (value.dtype, value.tolist()) for name, value in state.items()} == {
        "learned": (torch.long, []), "fresh": (torch.long, []), "turns": (torch.long, []), "first": (torch.long, [0])
    }  # fmt: skip


def test_a_refinement_begins_with_the_first_of_the_ranking():
    offered, scores, reported = rounds(1)[0]
    place = next(place for place in range(3) if len({row[place] for row in offered}) > 1)
    ranking = (TABLE[ALLOWED] @ Linear.wanted[place]).argsort(descending=True)
    assert [row[place] for row in offered] == ALLOWED[ranking[:SWAPS]].tolist()
    assert scores == reported == sorted(scores, reverse=True)
    assert scores == pytest.approx(Linear().verdict(torch.tensor(offered)).score.tolist())


def test_every_token_gets_its_turn_before_any_comes_up_again():
    """192 tokens in windows of 128: the second one holds the other 64, and then it goes on."""
    offers = rounds(9)
    assert [len(offered) for offered, _, _ in offers] == [128] * 3 + [64] * 3 + [128] * 3
    places = [next(p for p in range(3) if len({row[p] for row in offered}) > 1) for offered, _, _ in offers[:6]]
    for place in range(3):
        tried = [row[place] for (offered, _, _), at in zip(offers, places) if at == place for row in offered]
        assert sorted(tried) == ALLOWED.tolist()
