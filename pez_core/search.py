"""The search for a prompt: descent by gradient from random tokens, then refinement of the best text."""

from dataclasses import dataclass
from functools import partial

import torch

from .alternatives import Leaders
from .best import Best, ReadBack
from .encoders.encoder import Encoder
from .errors import PezError
from .feature_judge import FeatureJudge
from .guided.decode import Decoder
from .objectives import Objective
from .optimiser.descent import Descent, Iterate
from .optimiser.projection import Projection
from .optimiser.refinement import Refinement
from .optimiser.run import OnStep, Run
from .priors import Prior, embedded_prior
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
    encoder: Encoder,
    objective: Objective,
    settings: SearchSettings = SearchSettings(),
    on_step: OnStep | None = None,
    prior: Prior | None = None,
    given: str = "",
) -> SearchResult:
    """Find a prompt for `objective`: by gradient descent and refinement, or, where language counts, decoded.

    Each step of the descent projects the iterates P (B, M, D) onto the vocabulary, takes the gradient of the loss at
    the projection P′, and applies it to P with AdamW. Candidates do not influence each other. Runs are repeatable for a
    seed on one device, unless time ends them. `on_step` is called after every step and round and stops the search by
    returning True. Of a time budget the descent takes `DESCENT_SHARE` at most when refinement follows.

    With `settings.language` the text is decoded (see `guided/decode.py`) by `prior`, or the embedded one; a
    `given` text is edited instead. `on_step` is then called after every word.

    Raises PezError when prefix, prompt and suffix do not fit the context or hold a blocked phrase, no text passed or
    read back, the tower gives NaN, or a single candidate does not fit the memory.
    """
    encoder.bring()
    judge = FeatureJudge(encoder, objective, settings)
    projection = _projection(encoder, settings)
    if settings.language:
        return _decoded(encoder, judge, projection, prior or embedded_prior(), settings, on_step, given)
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


def _decoded(
    encoder: Encoder,
    judge: FeatureJudge,
    projection: Projection,
    prior: Prior,
    settings: SearchSettings,
    on_step: OnStep | None,
    given: str,
) -> SearchResult:
    """A text put together word by word, or the given one edited, and others from the phrases that came next."""
    read_back = ReadBack(judge, encoder.vocabulary, settings)
    generator = torch.Generator().manual_seed(settings.seed)
    decoder = Decoder(
        judge, projection, prior, settings.language, settings.tokens, lambda ids: read_back(ids) is not None, generator
    )
    run = Run(settings.total_steps, settings.time_budget, on_step)
    best: tuple[int, ...] = ()
    for best in decoder.refine(tuple(encoder.vocabulary.encode(given))) if given else decoder.decode():
        if not run.next():
            break
        text, tokens = read_back(best) or ("", ())
        run.tell(judge.prompt(tokens).reported.item(), text)
    if not best:
        raise PezError(_nothing_found(settings))
    text, tokens = read_back(best) or ("", ())
    similarity = judge.prompt(tokens).reported.item()
    others = () if run.over else decoder.others(best)
    alternatives = tuple(read[0] for read in map(read_back, others) if read)
    return SearchResult(text, tokens, similarity, tuple(run.history), (), alternatives)


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
