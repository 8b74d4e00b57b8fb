"""Refinement: one token at a time, first those that the gradient ranks highest, never worse."""

import pytest
import torch

from pez_core.objectives import Judged
from pez_core.projection import Projection
from pez_core.refinement import SWAPS, Refinement, refine

TABLE = torch.randn(3 * SWAPS, 6, generator=torch.Generator().manual_seed(0))
ALLOWED = torch.arange(0, 3 * SWAPS, 2)


class Linear:
    """A goal that is linear in the embeddings, so that the gradient ranks swaps as they are."""

    wanted = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))

    def judge(self, ids):
        score = (TABLE[ids] * self.wanted).sum((1, 2))
        return Judged(score, score)

    def judge_with_gradient(self, ids):
        return self.judge(ids), -self.wanted[None]

    def judge_swaps(self, learned, position, tokens):
        ids = torch.tensor([list(learned)]).repeat(len(tokens), 1)
        ids[:, position] = tokens
        return self.judge(ids)


class Incumbent:
    def __init__(self, learned):
        self.learned, self.score = learned, float("-inf")

    def offer(self, learned, scores, similarities):
        best = max(range(len(scores)), key=scores.__getitem__)
        if scores[best] > self.score:
            self.learned, self.score = tuple(learned[best]), scores[best]


def run(incumbent, rounds, accepts=True):
    projection, seen = Projection([TABLE], ALLOWED), []
    for offer in refine(Linear(), projection, incumbent, rounds, torch.Generator().manual_seed(0)):
        seen.append(offer)
        if accepts:
            incumbent.offer(*offer)
    return seen


def test_it_finds_the_best_token_of_every_position():
    incumbent = Incumbent((0, 2, 4))
    run(incumbent, 3)
    best = [ALLOWED[(TABLE[ALLOWED] @ wanted).argmax()].item() for wanted in Linear.wanted]
    assert list(incumbent.learned) == best


def test_a_round_changes_one_position_and_stays_within_the_allowed_ids():
    for (offered, _, _), incumbent in zip(run(Incumbent((0, 2, 4)), 4, accepts=False), [(0, 2, 4)] * 4):
        changed = {place for row in offered for place, (new, old) in enumerate(zip(row, incumbent)) if new != old}
        assert len(changed) == 1
        assert {token for row in offered for token in row} <= set(ALLOWED.tolist())


def test_positions_tried_in_vain_get_the_next_tokens_of_the_ranking():
    offers = run(Incumbent((0, 2, 4)), 6, accepts=False)
    tokens = [{row[place] for row in offered for place in range(3)} for offered, _, _ in offers]
    places = [next(p for p in range(3) if len({row[p] for row in offered}) > 1) for offered, _, _ in offers]
    for place in range(3):
        first, second = (tokens[index] - {0, 2, 4} for index in range(6) if places[index] == place)
        assert len(first) >= SWAPS - 3 and not first & second


def test_the_ranking_follows_the_incumbent():
    """A goal whose gradient turns around with the first token: each round offers the first of the new ranking."""

    class Turning(Linear):
        def judge_with_gradient(self, ids):
            judged, gradient = super().judge_with_gradient(ids)
            return judged, gradient * (1 if ids[0, 0] == 0 else -1)

    incumbent, projection = Incumbent((0, 2, 4)), Projection([TABLE], ALLOWED)
    rounds = refine(Turning(), projection, incumbent, 12, torch.Generator().manual_seed(0))
    for first, sign in ((0, 1), (8, -1), (0, 1), (6, -1)):
        incumbent.learned = (first, 2, 4)
        offered, _, _ = next(rounds)
        place = next(place for place in range(3) if len({row[place] for row in offered}) > 1)
        ranking = (sign * TABLE[ALLOWED] @ Linear.wanted[place]).argsort(descending=True)
        assert [row[place] for row in offered] == ALLOWED[ranking[:SWAPS]].tolist()


def test_without_an_incumbent_nothing_is_offered():
    assert run(Incumbent(()), 5) == []


def test_the_order_of_positions_comes_from_the_generator_alone():
    torch.manual_seed(1)
    first = run(Incumbent((0, 2, 4)), 12, accepts=False)
    torch.manual_seed(2)
    assert run(Incumbent((0, 2, 4)), 12, accepts=False) == first


@pytest.mark.parametrize("rounds", [1, 4, 8])
def test_a_refinement_goes_on_from_its_state(rounds):
    """In the middle of the positions, and when some ranks have been tried in vain."""
    projection, incumbent, draws = Projection([TABLE], ALLOWED), Incumbent((0, 2, 4)), torch.Generator().manual_seed(3)
    whole = Refinement(Linear(), projection, incumbent, draws, swaps=7)
    for _ in range(rounds):
        whole.round()
    resumed_draws = torch.Generator()
    resumed_draws.set_state(draws.get_state())
    resumed = Refinement(Linear(), projection, incumbent, resumed_draws, swaps=7)
    resumed.restore(whole.state())
    assert [resumed.round() for _ in range(9)] == [whole.round() for _ in range(9)]


def test_the_goal_gets_ids_where_the_vocabulary_is_whatever_the_default_device():
    class Watched(Linear):
        def judge_with_gradient(self, ids):
            assert ids.device == ALLOWED.device
            return super().judge_with_gradient(ids)

    refinement = Refinement(Watched(), Projection([TABLE], ALLOWED), Incumbent((0, 2, 4)), torch.Generator())
    refinement.round()
    state = refinement.state()
    with torch.device("meta"):
        refinement.restore(state)


def test_its_state_is_whole_numbers_even_when_parts_are_empty():
    state = Refinement(Linear(), Projection([TABLE], ALLOWED), Incumbent((0, 2, 4)), torch.Generator()).state()
    assert {name: (value.dtype, value.tolist()) for name, value in state.items()} == {
        "learned": (torch.long, []), "fresh": (torch.long, []), "turns": (torch.long, []), "first": (torch.long, [0])
    }  # fmt: skip


def test_a_refinement_begins_with_the_first_of_the_ranking():
    offered, scores, reported = run(Incumbent((0, 2, 4)), 1, accepts=False)[0]
    place = next(place for place in range(3) if len({row[place] for row in offered}) > 1)
    ranking = (TABLE[ALLOWED] @ Linear.wanted[place]).argsort(descending=True)
    assert [row[place] for row in offered] == ALLOWED[ranking[:SWAPS]].tolist()
    assert scores == reported == sorted(scores, reverse=True)
    assert scores == pytest.approx(Linear().judge(torch.tensor(offered)).score.tolist())


def test_every_token_gets_its_turn_before_any_comes_up_again():
    """192 tokens in windows of 128: the second one holds the other 64, and then it goes on."""
    offers = run(Incumbent((0, 2, 4)), 9, accepts=False)
    assert [len(offered) for offered, _, _ in offers] == [128] * 3 + [64] * 3 + [128] * 3
    places = [next(p for p in range(3) if len({row[p] for row in offered}) > 1) for offered, _, _ in offers[:6]]
    for place in range(3):
        tried = [row[place] for (offered, _, _), at in zip(offers, places) if at == place for row in offered]
        assert sorted(tried) == ALLOWED.tolist()
