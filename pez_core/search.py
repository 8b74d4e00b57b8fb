"""The PEZ loop (Wen et al. 2023, algorithm 1), over several candidates at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from .best import Best
from .descent import Descent
from .errors import PezError
from .frame import Frame
from .hard_prompt import SearchSettings
from .objectives import Objective
from .projection import Projection
from .tower import TextTower
from .vocabulary import Vocabulary


@dataclass(frozen=True)
class Progress:
    """Where a search stands after `step` of `steps`: the best text so far and its similarity."""

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
Offer = tuple[list[list[int]], list[float], list[float]]
READ_EVERY = 16


def search(
    tower: TextTower,
    vocabulary: Vocabulary,
    objective: Objective,
    settings: SearchSettings,
    on_step: OnStep | None = None,
) -> Found:
    """Find the prompt that scores highest under `objective`.

    Each step projects the iterates P (B, M, D) onto the vocabulary, takes the gradient of the loss at the projection
    P′, and applies it to P with AdamW. Candidates do not influence each other. Runs are repeatable for a seed on one
    device. `on_step` is called after every step and stops the search by returning True.

    Raises PezError when prefix, prompt and suffix do not fit the context, or no text passed the blocklist.
    """
    frame = Frame(tower, vocabulary, objective, settings)
    best = Best(frame, vocabulary, settings)
    history: list[float] = []
    began = time.monotonic()

    for step, offered in enumerate(_descend(frame, vocabulary, settings), 1):
        best.offer(*offered)
        history.append(best.similarity)
        stopped = on_step is not None and on_step(Progress(step, settings.steps, best.similarity, best.text))
        out_of_time = settings.time_budget is not None and time.monotonic() - began >= settings.time_budget
        if stopped or out_of_time:
            break

    if not best.text:
        raise PezError("blocklist rejected every prompt that was found; take words out of it or raise the steps.")
    similarity = frame.judge_prompt(best.tokens).similarity.item()
    return Found(best.text, best.tokens, similarity, tuple(history))


def _descend(frame: Frame, vocabulary: Vocabulary, settings: SearchSettings) -> Iterator[Offer]:
    """What each step tried. On a GPU steps are queued and read together, since every reading waits for the device."""
    tower = frame.tower
    projection = Projection(tower.embeddings, vocabulary.allowed_ids(settings.token_filter, settings.blocklist))
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
