"""The PEZ loop (Wen et al. 2023, algorithm 1), over several candidates at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .best import Best
from .errors import PezError
from .hard_prompt import SearchSettings
from .objectives import Objective
from .projection import Projection
from .tower import MAX_PROMPT_TOKENS, TextTower
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
    frame = Frame(tower, vocabulary, settings)
    projection = Projection(tower.embeddings, vocabulary.allowed_ids(settings.token_filter, settings.blocklist))
    generator = torch.Generator().manual_seed(settings.seed)
    start = projection.random_ids((settings.candidates, settings.tokens), generator)
    iterate = tower.embed(start).clone().requires_grad_(True)
    optimiser = torch.optim.AdamW([iterate], lr=settings.learning_rate, weight_decay=settings.weight_decay)
    best = Best(tower, vocabulary, objective, settings)
    history: list[float] = []
    began = time.monotonic()

    for step in range(1, settings.steps + 1):
        ids = projection(iterate.detach())
        projected = tower.embed(ids).requires_grad_(True)
        features = frame.encode(projected)
        loss = 1 - objective.score(features, generator)
        (iterate.grad,) = torch.autograd.grad(loss.sum(), projected)
        optimiser.step()

        best.offer(ids, objective.score(features.detach()))
        history.append(best.similarity)
        stopped = on_step is not None and on_step(Progress(step, settings.steps, best.similarity, best.text))
        out_of_time = settings.time_budget is not None and time.monotonic() - began >= settings.time_budget
        if stopped or out_of_time:
            break

    if not best.text:
        raise PezError("blocklist rejected every prompt that was found; take words out of it or raise the steps.")
    return Found(best.text, best.tokens, best.similarity, tuple(history))


class Frame:
    """What stands around the learned tokens: start and prefix before, suffix and end after."""

    def __init__(self, tower: TextTower, vocabulary: Vocabulary, settings: SearchSettings) -> None:
        before = [tower.start_id, *vocabulary.encode(settings.prefix)]
        after = [*vocabulary.encode(settings.suffix), tower.end_id]
        length = len(before) + settings.tokens + len(after)
        if length > MAX_PROMPT_TOKENS + 2:
            raise PezError(
                f"prefix, prompt length and suffix take {length - 2} tokens together; "
                f"shorten them to {MAX_PROMPT_TOKENS} or fewer."
            )
        self._tower = tower
        self._before = tower.embed(torch.tensor(before, device=tower.device))
        self._after = tower.embed(torch.tensor(after, device=tower.device))

    def encode(self, learned: Tensor) -> Tensor:
        """Unit features (B, F) of embedded learned tokens (B, M, D) in their frame."""
        count = len(learned)
        embedded = torch.cat([self._before.expand(count, -1, -1), learned, self._after.expand(count, -1, -1)], 1)
        ends = torch.full((count,), embedded.shape[1] - 1, device=embedded.device)
        return self._tower.encode(embedded, ends)
