"""The PEZ loop (Wen et al. 2023, algorithm 1), over several candidates at once."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import torch

from .best import Best, Offer
from .descent import Descent
from .errors import PezError
from .frame import Frame
from .hard_prompt import SearchSettings
from .objectives import Objective
from .projection import Projection
from .refinement import refine
from .tower import TextTower
from .vocabulary import Vocabulary


@dataclass(frozen=True)
class Progress:
    """Where a search stands after `step` of `steps`, refinement rounds included: the best text and its similarity."""

    step: int
    steps: int
    similarity: float
    text: str


@dataclass(frozen=True)
class Found:
    """What a search found: the text, its ids as tokenised again, its similarity, and the best one after each step."""

    text: str
    tokens: tuple[int, ...]
    similarity: float
    history: tuple[float, ...]


OnStep = Callable[[Progress], bool | None]
READ_EVERY = 16
DESCENT_SHARE = 0.2


def search(
    tower: TextTower,
    vocabulary: Vocabulary,
    objective: Objective,
    settings: SearchSettings,
    on_step: OnStep | None = None,
) -> Found:
    """Find the prompt that scores highest under `objective`: by gradient descent, then by refinement of the best.

    Each step of the descent projects the iterates P (B, M, D) onto the vocabulary, takes the gradient of the loss at
    the projection P′, and applies it to P with AdamW. Candidates do not influence each other. Runs are repeatable for a
    seed on one device, unless time ends them. `on_step` is called after every step and round and stops the search by
    returning True. Of a time budget the descent takes `DESCENT_SHARE` at most when refinement follows.

    Raises PezError when prefix, prompt and suffix do not fit the context, or no text passed the blocklist.
    """
    began, budget = time.monotonic(), settings.time_budget or math.inf
    frame = Frame(tower, vocabulary, objective, settings)
    projection = _projection(tower, vocabulary, settings)
    best = Best(frame, vocabulary, settings)
    swaps = torch.Generator().manual_seed(settings.seed)
    stages = (
        (_descend(frame, projection, settings), budget * (DESCENT_SHARE if settings.rounds else 1)),
        (refine(frame, projection, best, settings.rounds, swaps), budget),
    )
    history: list[float] = []
    for offered in chain.from_iterable(_until(began + seconds, stage) for stage, seconds in stages):
        best.offer(*offered)
        history.append(best.similarity)
        progress = Progress(len(history), settings.total_steps, best.similarity, best.text)
        if on_step is not None and on_step(progress):
            break

    if not best.text:
        raise PezError("blocklist rejected every prompt that was found; take words out of it or raise the steps.")
    similarity = frame.judge_prompt(best.tokens).reported.item()
    return Found(best.text, best.tokens, similarity, tuple(history))


def _projection(tower: TextTower, vocabulary: Vocabulary, settings: SearchSettings) -> Projection:
    allowed = vocabulary.allowed_ids(settings.token_filter, settings.blocklist)
    if not settings.word_preference:
        return Projection(tower.embeddings, allowed)
    fragments = ~torch.isin(allowed, vocabulary.allowed_ids("ascii words"))
    return Projection(tower.embeddings, allowed, settings.word_preference * fragments)


def _until(moment: float, offers: Iterable[Offer]) -> Iterator[Offer]:
    for offered in offers:
        yield offered
        if time.monotonic() >= moment:
            return


def _descend(frame: Frame, projection: Projection, settings: SearchSettings) -> Iterator[Offer]:
    """What each step tried. On a GPU steps are queued and read together, since every reading waits for the device."""
    tower = frame.tower
    start = projection.random_ids((settings.candidates, settings.tokens), torch.Generator().manual_seed(settings.seed))
    draws = torch.Generator(tower.device).manual_seed(settings.seed)
    read_every = 1 if tower.device.type == "cpu" else READ_EVERY
    descent = Descent(frame, projection, tower.embed(start), settings, draws, read_every)
    advance = tower.accelerated(descent.step, draws)
    for done in range(0, settings.steps, read_every):
        steps = min(read_every, settings.steps - done)
        for _ in range(steps):
            advance()
        yield from zip(*(kept[:steps].tolist() for kept in (descent.ids, *descent.judged)))
