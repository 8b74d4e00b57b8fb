"""The published loop and the engine: the same work, so that their times can be compared."""

import itertools

import pytest
import torch

from benchmarks.quality import TOKENS, start, trajectory
from benchmarks.reference import ReferenceStep, lead, reference_pez
from pez_core import SearchSettings
from pez_core.feature_judge import FeatureJudge
from pez_core.objectives import Match
from pez_core.optimiser.descent import Descent, Iterate
from pez_core.optimiser.projection import Projection

PICTURES, STEPS, STEPS_ALONE = 20, 15, 5
TIE = 1e-6
MOST_TIES = 2


@pytest.fixture(scope="module")
def side_by_side(encoder, contents):
    """The engine on the first pictures at once, as in the benchmark; the seed is the picture's number."""
    starts = torch.cat([start(picture) for picture in range(PICTURES)])
    return trajectory(contents.features[:PICTURES], starts, STEPS)


def plain(encoder, contents, picture, allowed):
    tower, target = encoder.tower, contents.features[picture : picture + 1]
    loop = reference_pez(tower._text, target, start(picture)[0], tower.start_id, tower.end_id, allowed)
    return list(itertools.islice(loop, STEPS))


def test_the_engine_goes_the_way_of_the_plain_loop_but_for_ties(encoder, contents, side_by_side):
    """The same ids and similarities, until two tokens are equally near up to rounding; then they may differ."""
    ids, scores = side_by_side
    ties = []
    for picture in range(PICTURES):
        for number, step in enumerate(plain(encoder, contents, picture, encoder.vocabulary.allowed_ids("all"))):
            ours = ids[number, picture].tolist()
            if step.ids != ours:
                ties.append((picture, number, lead(step, ours, encoder.tower.embeddings)))
                break
            assert scores[number, picture].item() == pytest.approx(step.similarity, abs=1e-5)
    assert all(apart < TIE for _, _, apart in ties), ties
    assert len(ties) <= MOST_TIES, ties


def test_a_candidate_goes_the_same_way_alone(encoder, contents, side_by_side):
    ids, _ = side_by_side
    settings = SearchSettings(TOKENS, STEPS_ALONE, candidates=1, language=0)
    projection = Projection(encoder.tower.tables, encoder.vocabulary.allowed_ids("all"))
    different = []
    for picture in range(PICTURES):
        judge = FeatureJudge(encoder, Match(contents.features[picture : picture + 1]), settings)
        iterate = Iterate(encoder.tower.embed(start(picture)), settings.learning_rate, settings.weight_decay)
        descent = Descent(judge, projection, iterate, torch.Generator())
        alone = torch.stack([descent.step().ids[0] for _ in range(STEPS_ALONE)])
        different += [picture] if not torch.equal(alone, ids[:STEPS_ALONE, picture]) else []
    assert len(different) <= MOST_TIES, different


def test_the_ways_are_not_trivially_the_same(side_by_side):
    ids, _ = side_by_side
    for picture in range(PICTURES):
        assert len({tuple(row) for row in ids[:, picture].tolist()}) > STEPS // 2


def test_the_plain_loop_chooses_among_the_ids_that_it_is_given(encoder, contents):
    words = encoder.vocabulary.allowed_ids("ascii words")
    tower = encoder.tower
    given = reference_pez(
        tower._text, contents.features[:1], start(0, "ascii words")[0], tower.start_id, tower.end_id, words
    )
    chosen = {token for step in itertools.islice(given, 5) for token in step.ids}
    assert chosen <= set(words.tolist())


def test_without_them_it_chooses_among_all_ids(encoder):
    """Also the start token, where that is nearest."""
    tower = encoder.tower
    target = torch.nn.functional.normalize(torch.ones(1, tower._text.text_projection.shape[1]), dim=-1)
    prompt = torch.tensor([tower.start_id, tower.end_id])
    assert next(reference_pez(tower._text, target, prompt, tower.start_id, tower.end_id)).ids == prompt.tolist()


def test_the_lead_is_the_largest_difference_of_cosines():
    table = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    step = ReferenceStep(torch.tensor([[2.0, 0.0], [0.0, 3.0]]), [0, 2], 0.0)
    assert lead(step, [1, 1], table) == pytest.approx(0.4)
    assert lead(step, [0, 2], table) == 0
