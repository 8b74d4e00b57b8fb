"""The search for a prompt: descent by gradient from random tokens, then refinement of the best text."""

from dataclasses import dataclass
from functools import partial

import torch

from .alternatives import Leaders
from .best import Best
from .encoders.encoder import Encoder
from .errors import PezError
from .feature_judge import FeatureJudge
from .objectives import Objective
from .optimiser.descent import Descent, Iterate
from .optimiser.projection import Projection
from .optimiser.refinement import Refinement
from .optimiser.run import OnStep, Run
from .settings import SearchSettings

DESCENT_SHARE = 0.2


@dataclass(frozen=True)
class SearchResult:
    """What a search found: the text, its ids as tokenised again, its similarity, and the best one after each step.

    `history` begins with the first step that had a text which passed and read back. `notes` say what people should know
    of how it went. `alternatives` are the best texts of the other candidates, as far as they differ.
    """

    text: str
    tokens: tuple[int, ...]
    similarity: float
    history: tuple[float, ...]
    notes: tuple[str, ...]
    alternatives: tuple[str, ...]


def search(
    encoder: Encoder, objective: Objective, settings: SearchSettings = SearchSettings(), on_step: OnStep | None = None
) -> SearchResult:
    """Find the prompt that scores highest under `objective`: by gradient descent, then by refinement of the best.

    Each step of the descent projects the iterates P (B, M, D) onto the vocabulary, takes the gradient of the loss at
    the projection P′, and applies it to P with AdamW. Candidates do not influence each other. Runs are repeatable for a
    seed on one device, unless time ends them. `on_step` is called after every step and round and stops the search by
    returning True. Of a time budget the descent takes `DESCENT_SHARE` at most when refinement follows.

    Raises PezError when prefix, prompt and suffix do not fit the context or hold a blocked phrase, no text passed or
    read back, the tower gives NaN, or a single candidate does not fit the memory.
    """
    encoder.bring()
    judge = FeatureJudge(encoder, objective, settings)
    projection = _projection(encoder, settings)
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
        raise PezError(_nothing_found(settings))
    similarity = judge.prompt(best.tokens).reported.item()
    left = f"Not enough memory for all candidates; {descent.candidates} of them went on."
    notes = () if descent.candidates == settings.candidates else (left,)
    alternatives = leaders.texts(best, another_best)
    return SearchResult(best.text, best.tokens, similarity, tuple(run.history), notes, alternatives)


def _projection(encoder: Encoder, settings: SearchSettings) -> Projection:
    vocabulary, tables = encoder.vocabulary, encoder.tower.tables
    allowed = vocabulary.allowed_ids(settings.token_filter, settings.blocklist)
    if not settings.word_preference:
        return Projection(tables, allowed)
    fragments = ~torch.isin(allowed, vocabulary.allowed_ids("ascii words"))
    return Projection(tables, allowed, settings.word_preference * fragments)


def _descent(encoder: Encoder, judge: FeatureJudge, projection: Projection, settings: SearchSettings) -> Descent:
    tower = encoder.tower
    start = projection.random_ids((settings.candidates, settings.tokens), torch.Generator().manual_seed(settings.seed))
    iterate = Iterate(tower.embed(start), settings.learning_rate, settings.weight_decay)
    draws = torch.Generator(tower.device).manual_seed(settings.seed)
    return Descent(judge, projection, iterate, draws, queued=tower.queued, captured=tower.capturable)


def _nothing_found(settings: SearchSettings) -> str:
    if settings.blocklist:
        return "blocklist rejected every prompt that was found; take words out of it or raise the steps."
    return (
        f"token filter {settings.token_filter!r} gave no text that reads back within the prompt length; "
        "choose ascii words, or raise the steps."
    )
