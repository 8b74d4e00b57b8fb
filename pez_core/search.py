"""The PEZ loop (Wen et al. 2023, algorithm 1), over several candidates at once."""

from __future__ import annotations

import logging
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
from .out_of_memory import free_unused, is_out_of_memory
from .projection import Projection
from .refinement import refine
from .tower import TextTower
from .vocabulary import Vocabulary


@dataclass(frozen=True)
class Progress:
    """Where a search stands after `step` of `steps`, refinement rounds included: the best text and its similarity.

    Until a text has passed and read back, the text is empty and the similarity −1.
    """

    step: int
    steps: int
    similarity: float
    text: str


@dataclass(frozen=True)
class Found:
    """What a search found: the text, its ids as tokenised again, its similarity, and the best one after each step.

    `history` begins with the first step that had a text which passed and read back. `notes` say what people should know
    of how it went.
    """

    text: str
    tokens: tuple[int, ...]
    similarity: float
    history: tuple[float, ...]
    notes: tuple[str, ...]


OnStep = Callable[[Progress], bool | None]
MOST_UNREAD = 16
UNREAD_SECONDS = 0.1
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

    Raises PezError when prefix, prompt and suffix do not fit the context or hold a blocked phrase, no text passed or
    read back, the tower gives NaN, or a single candidate does not fit the memory.
    """
    began, budget = time.monotonic(), settings.time_budget or math.inf
    frame = Frame(tower, vocabulary, objective, settings)
    projection = _projection(tower, vocabulary, settings)
    best = Best(frame, vocabulary, settings)
    swaps = torch.Generator().manual_seed(settings.seed)
    notes: list[str] = []
    stages = (
        (_descend(frame, projection, settings, notes), budget * (DESCENT_SHARE if settings.rounds else 1)),
        (refine(frame, projection, best, settings.rounds, swaps), budget),
    )
    history: list[float] = []
    offers = chain.from_iterable(_until(began + seconds, stage) for stage, seconds in stages)
    for step, offered in enumerate(offers, 1):
        best.offer(*offered)
        if best.text:
            history.append(best.similarity)
        progress = Progress(step, settings.total_steps, best.similarity, best.text)
        if on_step is not None and on_step(progress):
            break

    if not best.text:
        raise PezError(_nothing_found(settings))
    similarity = frame.judge_prompt(best.tokens).reported.item()
    return Found(best.text, best.tokens, similarity, tuple(history), tuple(notes))


def _nothing_found(settings: SearchSettings) -> str:
    if settings.blocklist:
        return "blocklist rejected every prompt that was found; take words out of it or raise the steps."
    return (
        f"token filter {settings.token_filter!r} gave no text that reads back within the prompt length; "
        "choose ascii words, or raise the steps."
    )


def _projection(tower: TextTower, vocabulary: Vocabulary, settings: SearchSettings) -> Projection:
    allowed = vocabulary.allowed_ids(settings.token_filter, settings.blocklist)
    if not settings.word_preference:
        return Projection(tower.tables, allowed)
    fragments = ~torch.isin(allowed, vocabulary.allowed_ids("ascii words"))
    return Projection(tower.tables, allowed, settings.word_preference * fragments)


def _until(moment: float, offers: Iterable[Offer]) -> Iterator[Offer]:
    for offered in offers:
        yield offered
        if time.monotonic() >= moment:
            return


def _descend(frame: Frame, projection: Projection, settings: SearchSettings, notes: list[str]) -> Iterator[Offer]:
    """What each step tried. On a GPU steps are queued and read together, since every reading waits for the device.

    How many, follows the time that the last ones took, so that nobody waits long for what is read. Where the candidates
    do not fit the memory, half of them go on, and a note says so.
    """
    tower, most = frame.tower, MOST_UNREAD if frame.tower.queued else 1
    start = projection.random_ids((settings.candidates, settings.tokens), torch.Generator().manual_seed(settings.seed))
    draws = torch.Generator(tower.device).manual_seed(settings.seed)
    descent = Descent(frame, projection, tower.embed(start), settings, draws, most)
    advance, done, steps = tower.accelerated(descent.step, draws), 0, 1
    while done < settings.steps:
        began = time.monotonic()
        if _fits(advance, steps):
            offers = descent.last(steps)
            done += steps
            steps = min(most, settings.steps - done, _unread((time.monotonic() - began) / steps))
            yield from offers
            continue
        descent = _halved(descent, notes)
        advance = tower.accelerated(descent.step, draws)


def _unread(seconds_per_step: float) -> int:
    """How many steps may go unread together."""
    return max(1, int(UNREAD_SECONDS / max(seconds_per_step, 1e-9)))


def _fits(advance: Callable[[], None], steps: int) -> bool:
    """Go on by `steps`, unless they run out of memory."""
    try:
        for _ in range(steps):
            advance()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True


def _halved(descent: Descent, notes: list[str]) -> Descent:
    count = len(descent.iterate)
    if count == 1:
        raise PezError("candidates is 1 and the device is out of memory; shorten prompt_length or free some memory.")
    free_unused()
    notes[:] = [f"Not enough memory for all candidates; {count // 2} of them went on."]
    logging.getLogger(__name__).warning("PEZ: not enough memory for %d candidates; %d go on.", count, count // 2)
    return descent.halved()
