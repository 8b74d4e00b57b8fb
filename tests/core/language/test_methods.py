"""The methods, step by step, against what is computed by hand."""

from dataclasses import replace

import pytest
import torch

from pez_core.language.judge import RACE_EXAMPLES, ClassificationJudge
from pez_core.language.methods import METHODS, AutoPrompt, FluentPrompt, Parts, Pez, PezThenRefine, Soft
from pez_core.optimiser.descent import Descent, Iterate
from pez_core.optimiser.judge import Offer
from pez_core.optimiser.projection import Projection
from pez_core.optimiser.refinement import Refinement


@pytest.fixture
def parts(classifier, make_examples):
    """All that a method is made of, over 24 examples in mini-batches of 6; swaps need not race."""
    examples = classifier.tokenised(make_examples(24, 1), 2)
    projection = Projection([classifier.model.embeddings], classifier.model.vocabulary.allowed_ids("ascii words"))
    start = torch.tensor([classifier.prompt_ids("maybe green"), classifier.prompt_ids("people often")])
    return Parts(
        model=classifier.model,
        judge=ClassificationJudge(classifier, examples, 6, 0.0),
        swap_judge=ClassificationJudge(classifier, examples.take(range(RACE_EXAMPLES)), RACE_EXAMPLES, 0.0),
        projection=projection,
        start=start,
        generator=torch.Generator().manual_seed(3),
        relative_rate=2.0,
        weight_decay=0.0,
        swaps=4,
        admits=lambda ids: True,
    )


def seeded(parts, seed=3):
    return replace(parts, generator=torch.Generator().manual_seed(seed))


def test_the_learning_rate_is_in_units_of_the_spread_of_the_embeddings(parts):
    spread = parts.model.embeddings[parts.start.flatten()].std().item()
    assert parts.learning_rate == pytest.approx(2.0 * spread)
    assert replace(parts, relative_rate=0.5).learning_rate == pytest.approx(0.5 * spread)


def test_an_iterate_begins_at_the_embeddings_of_its_ids_and_moves_by_the_rates_of_the_parts(parts):
    parts = replace(parts, weight_decay=0.1)
    ids = parts.start.flip(0)
    iterate, gradient = parts.iterate(ids), torch.ones(2, 2, 64)
    assert torch.equal(iterate.values, parts.model.embed(ids))
    wanted = torch.nn.Parameter(parts.model.embed(ids).clone())
    adam = torch.optim.AdamW([wanted], lr=parts.learning_rate, weight_decay=0.1)
    for _ in range(2):
        iterate.move(gradient)
        wanted.grad = gradient
        adam.step()
    assert torch.equal(iterate.values, wanted)


def test_pez_is_the_descent_that_the_picture_side_shares(parts, as_lists):
    parts = replace(parts, weight_decay=0.1)
    pez, own = Pez(parts), seeded(parts)
    iterate = Iterate(own.model.embed(own.start), own.learning_rate, 0.1)
    descent = Descent(own.judge, own.projection, iterate, own.generator)
    for step in range(3):
        assert as_lists(pez.step(step / 3, ())) == as_lists(descent.step())
    assert torch.equal(pez.state()["iterate"], descent.iterate.state()["iterate"])
    assert not torch.equal(pez.state()["iterate"], own.model.embed(own.start))


def test_a_fluent_step_goes_against_the_gradient_with_noise_that_dies_out(parts, as_lists):
    method, own = FluentPrompt(parts), seeded(parts)
    verdict, gradient = own.judge.with_gradient(own.start, own.generator)
    noise = torch.randn(gradient.shape, generator=own.generator)
    spread = gradient.flatten(1).std(1)[:, None, None]
    for share, size in ((0.0, 1.0), (0.5, 1e-2), (1.0, 1e-4)):
        method.restore({"ids": parts.start, "generator": torch.Generator().manual_seed(3).get_state()})
        assert as_lists(method.step(share, ())) == as_lists(Offer(own.start, verdict))
        moved = own.model.embed(own.start) + own.learning_rate * (2**0.5 * size * noise - gradient / spread)
        assert torch.equal(method.state()["ids"], own.projection(moved))


def test_autoprompt_tries_the_tokens_that_the_gradient_prefers_at_one_place(parts, as_lists):
    method, own = AutoPrompt(parts), seeded(parts)
    ids = parts.start[:1]
    for _ in range(4):
        _, gradient = own.judge.with_gradient(ids, own.generator)
        place = int(torch.randint(2, (), generator=own.generator))
        gains = -(own.model.embeddings[own.projection.allowed] @ gradient[0, place])
        wanted = own.projection.allowed[gains.argsort(descending=True)[:4]].tolist()
        examples = own.judge.drawn(own.generator)
        tried, scores, reported = as_lists(method.step(0.0, ()))
        assert tried[0] == ids[0].tolist() and [row[place] for row in tried[1:]] == wanted
        assert all(row[1 - place] == ids[0, 1 - place] for row in tried)
        by_hand = own.judge.verdict(torch.tensor(tried), examples)
        assert scores == by_hand.score.tolist() and reported == by_hand.reported.tolist()
        ids = torch.tensor([tried[max(range(5), key=scores.__getitem__)]])
        assert torch.equal(method.state()["ids"], ids)


def test_autoprompt_gets_by_with_fewer_tokens_than_swaps(parts):
    few = Projection([parts.model.embeddings], parts.projection.allowed[:3])
    assert len(AutoPrompt(replace(parts, projection=few)).step(0.0, ()).ids) == 4


def test_a_soft_step_is_adams_on_a_mini_batch(parts, as_lists):
    parts = replace(parts, weight_decay=0.1)
    method, own = Soft(parts), seeded(parts)
    embedded = torch.nn.Parameter(own.model.embed(own.start[:1]).clone())
    adam = torch.optim.AdamW([embedded], lr=own.learning_rate, weight_decay=0.1)
    for _ in range(2):
        verdict, embedded.grad = own.judge.embedded_with_gradient(embedded, own.judge.drawn(own.generator))
        adam.step()
        assert as_lists(method.step(0.0, ())) == ([[]], verdict.score.tolist(), verdict.reported.tolist())
    assert torch.allclose(method.prompt(()), embedded[0]) and not torch.equal(embedded, own.model.embed(own.start[:1]))


def test_a_soft_prompt_that_was_taken_does_not_move_with_the_next_step(parts):
    method = Soft(parts)
    taken = method.prompt(())
    before = taken.clone()
    method.step(0.0, ())
    assert torch.equal(taken, before) and not torch.equal(taken, method.prompt(()))
    assert taken.shape == (2, 64) and not taken.requires_grad


@pytest.mark.parametrize("name", [name for name in METHODS if name != "soft"])
def test_what_the_other_methods_offer_stands_for_a_text(parts, name):
    method = METHODS[name](parts)
    offer = method.step(0.0, ())
    for ids in offer.ids.tolist():
        assert method.prompt(ids) == parts.model.vocabulary.decode(ids) != ""


@pytest.mark.parametrize("name", METHODS)
def test_a_method_goes_on_from_its_state_as_if_it_had_never_stopped(parts, as_lists, name):
    method = METHODS[name](parts)
    best = tuple(parts.start[0].tolist())
    for step in range(5):
        method.step(step / 8, best)
    state = {key: value.clone() for key, value in method.state().items()}
    other = METHODS[name](seeded(parts, 99))
    other.restore(state)
    for step in range(5, 8):
        assert as_lists(method.step(step / 8, best)) == as_lists(other.step(step / 8, best))


def refining(parts, best="maybe green"):
    """A method that has begun to refine."""
    return PezThenRefine(parts), tuple(parts.model.vocabulary.encode(f" {best}"))


def by_all(parts, ids):
    return parts.swap_judge.verdict(torch.tensor([ids])).score.item()


def test_half_of_the_budget_goes_to_the_descent(parts, as_lists):
    method, best = refining(parts)
    pez = Pez(seeded(parts))
    for share in (0.0, 0.25, 0.49):
        assert as_lists(method.step(share, best)) == as_lists(pez.step(share, best))
        assert "leader" not in method.state()
    offers = as_lists(method.step(0.9, ())), as_lists(pez.step(0.9, ()))
    assert offers[0] == offers[1], "without a best prompt there is nothing to refine"
    method.step(0.5, best)
    assert "leader" in method.state()
    method.step(0.1, ())
    assert "leader" in method.state(), "a refinement that has begun goes on"


def test_the_leader_takes_the_best_swap_of_every_round(parts, as_lists):
    method, best = refining(parts)
    own, leader = seeded(parts), best
    refinement = Refinement(own.swap_judge, own.projection, own.generator, own.swaps)
    score = by_all(parts, best)
    for _ in range(8):
        tried, scores, reported = as_lists(refinement.round(leader))
        if max(scores) > score:
            score = max(scores)
            leader = tuple(tried[scores.index(score)])
        assert as_lists(method.step(1.0, best)) == ([list(leader)], [pytest.approx(score)], [max(reported)])
    assert leader != best and score == pytest.approx(by_all(parts, leader), abs=1e-5)


def test_a_swap_that_is_not_admitted_is_passed_over_for_the_next(parts, as_lists):
    method, best = refining(parts)
    (first,), _, _ = as_lists(method.step(1.0, best))
    assert tuple(first) != best
    asked = []
    parts = replace(seeded(parts), admits=lambda ids: asked.append(ids) or ids != tuple(first))
    (second,), (score,), _ = as_lists(PezThenRefine(parts).step(1.0, best))
    assert asked[0] == tuple(first) and second != first
    assert by_all(parts, best) < score < by_all(parts, first)


def test_without_an_admitted_swap_the_leader_stays(parts, as_lists):
    method, best = refining(replace(parts, admits=lambda ids: False))
    for _ in range(5):
        offered, (score,), _ = as_lists(method.step(1.0, best))
        assert offered == [list(best)] and score == pytest.approx(by_all(parts, best), abs=1e-5)


def test_every_new_leader_has_its_swaps_ranked_anew(parts, monkeypatch):
    ranked, real = [], parts.swap_judge.with_gradient
    monkeypatch.setattr(
        parts.swap_judge,
        "with_gradient",
        lambda ids, generator=None: ranked.append(tuple(ids[0].tolist())) or real(ids, generator),
    )
    method, best = refining(parts)
    leaders = [best]
    for _ in range(12):
        (leader,) = method.step(1.0, best).ids.tolist()
        leaders.append(tuple(leader))
    wanted = [new for old, new in zip([None, *leaders], leaders[:-1]) if new != old]
    assert len(wanted) > 2 and ranked == wanted
