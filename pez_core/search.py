"""The search for a prompt: descent by gradient from random tokens, then refinement of the best text."""

from functools import partial

import torch

from .admitted import admitted
from .alternatives import Leaders
from .best import Best, nothing_found
from .encoders.encoder import Encoder
from .errors import PezError
from .feature_judge import FeatureJudge
from .guided_search import GuidedSearch
from .objectives import Objective
from .optimiser.descent import Descent, Iterate
from .optimiser.projection import Projection
from .optimiser.refinement import Refinement
from .optimiser.run import OnStep, Run
from .priors import Prior
from .search_result import SearchResult
from .settings import SearchSettings

DESCENT_SHARE = 0.2


def search(
    encoder: Encoder,
    objective: Objective,
    settings: SearchSettings = SearchSettings(),
    on_step: OnStep | None = None,
    prior: Prior | None = None,
) -> SearchResult:
    """Find a prompt for `objective`: by gradient descent and refinement, or, where language counts, decoded.

    Each step of the descent projects the iterates P (B, M, D) onto the vocabulary, takes the gradient of the loss at
    the projection P′, and applies it to P with AdamW. Candidates do not influence each other. Runs are repeatable for a
    seed on one device, unless time ends them. `on_step` is called after every step and round and stops the search by
    returning True. Of a time budget the descent takes `DESCENT_SHARE` at most when refinement follows.

    With `settings.language` the text is decoded instead (see `GuidedSearch`), by `prior` or the embedded one.

    Raises PezError when prefix, prompt and suffix do not fit the context or hold a blocked phrase, no text passed or
    read back, the tower gives NaN, or a single candidate does not fit the memory.
    """
    if settings.language:
        return GuidedSearch(encoder, objective, settings, on_step, prior).decoded()
    encoder.bring()
    judge, projection = FeatureJudge(encoder, objective, settings), admitted(encoder, settings)
    descent = _descent(encoder, judge, projection, settings)
    refinement = Refinement(judge, projection, torch.Generator().manual_seed(settings.seed))
    another_best = partial(Best, judge, encoder.vocabulary, settings)
    best, leaders = another_best(), Leaders()
    run = Run(settings.total_steps, settings.time_budget, on_step)

    while run.next(settings.steps, DESCENT_SHARE if settings.rounds else 1.0):
        offer = descent.step()
        best.consider(offer)
        leaders.follow(offer)
        run.tell(best.similarity, best.text)
    while best.text and run.next():
        offer = refinement.round(best.learned)
        best.consider(offer)
        run.tell(best.similarity, best.text)

    if not best.text:
        raise PezError(nothing_found(settings))
    similarity = judge.prompt(best.tokens).reported.item()
    left = f"Not enough memory for all candidates; {descent.candidates} of them went on."
    notes = () if descent.candidates == settings.candidates else (left,)
    alternatives = leaders.texts(best, another_best)
    return SearchResult(best.text, best.tokens, similarity, tuple(run.history), notes, alternatives)


def _descent(encoder: Encoder, judge: FeatureJudge, projection: Projection, settings: SearchSettings) -> Descent:
    tower = encoder.tower
    start = projection.random_ids((settings.candidates, settings.tokens), torch.Generator().manual_seed(settings.seed))
    iterate = Iterate(tower.embed(start), settings.learning_rate, settings.weight_decay)
    draws = torch.Generator(tower.device).manual_seed(settings.seed)
    return Descent(judge, projection, iterate, draws, queued=tower.queued, captured=tower.capturable)
