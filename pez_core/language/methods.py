"""Ways to learn a prompt for classification. Each takes a step at a time, and its state can be saved between steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ..best import Offer
from ..descent import Descent
from ..projection import Projection
from ..refinement import Refinement
from .goal import ClassificationGoal
from .model import LanguageModel

State = dict[str, Tensor]
Ids = tuple[int, ...]

LANGEVIN_NOISE = (1.0, 1e-4)
DESCENT_SHARE = 0.5


@dataclass(frozen=True)
class Parts:
    """What all methods are made of: the goal on the training data, the goal that swaps are judged by, and where to go.

    `admits` tells whether ids come back from the round trip, and as a text that may be returned. `learning_rate` is in
    units of the spread of the model's embeddings, which differs by orders of magnitude.
    """

    model: LanguageModel
    goal: ClassificationGoal
    swap_goal: ClassificationGoal
    projection: Projection
    start: Tensor
    generator: torch.Generator
    relative_rate: float
    weight_decay: float
    swaps: int
    admits: Callable[[Ids], bool]

    @property
    def learning_rate(self) -> float:
        return self.relative_rate * self.model.embed(self.start).float().std().item()


class Method(Protocol):
    """A way to learn a prompt."""

    def step(self, share: float, best: Ids) -> Offer:
        """Go on, when `share` of the budget is spent and `best` leads; the ids (B, M) tried and how they did."""
        ...

    def state(self) -> State:
        """All that the next steps depend on."""
        ...

    def restore(self, state: State) -> None:
        """Go on from what `state` gave."""
        ...


class Pez:
    """The PEZ loop (Wen et al. 2023, algorithm 1)."""

    def __init__(self, parts: Parts) -> None:
        self._generator = parts.generator
        embedded = parts.model.embed(parts.start).float()
        self._descent = Descent(parts.goal, parts.projection, embedded, parts, parts.generator, 1)

    def step(self, share: float, best: Ids) -> Offer:
        self._descent.step()
        ids, judged = self._descent.ids[0], self._descent.judged
        return ids.tolist(), judged.score[0].tolist(), judged.reported[0].tolist()

    def state(self) -> State:
        return {**self._descent.state(), "generator": self._generator.get_state()}

    def restore(self, state: State) -> None:
        self._generator.set_state(state["generator"])
        self._descent.restore(state)


class FluentPrompt:
    """Langevin steps from token to token (Shi et al. 2022, section 3.2): gradient and noise, then the projection.

    The noise falls geometrically over the budget.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts, self._ids = parts, parts.start

    def step(self, share: float, best: Ids) -> Offer:
        parts, tried = self._parts, self._ids
        judged, gradient = parts.goal.judge_with_gradient(tried, parts.generator)
        first, last = LANGEVIN_NOISE
        spread = math.sqrt(2) * parts.learning_rate * first * (last / first) ** share
        noise = torch.randn(gradient.shape, generator=parts.generator).to(gradient)
        direction = gradient / gradient.flatten(1).std(1)[:, None, None].clamp(min=1e-12)
        self._ids = parts.projection(
            parts.model.embed(tried).float() - parts.learning_rate * direction + spread * noise
        )
        return tried.tolist(), judged.score.tolist(), judged.reported.tolist()

    def state(self) -> State:
        return {"ids": self._ids, "generator": self._parts.generator.get_state()}

    def restore(self, state: State) -> None:
        self._ids = state["ids"].to(self._ids.device)
        self._parts.generator.set_state(state["generator"])


class AutoPrompt:
    """Token swaps by gradient on mini-batches (Shin et al. 2020, section 2.2), at one random position a step."""

    def __init__(self, parts: Parts) -> None:
        self._parts, self._ids = parts, parts.start[:1]

    def step(self, share: float, best: Ids) -> Offer:
        parts = self._parts
        _, gradient = parts.goal.judge_with_gradient(self._ids, parts.generator)
        position = int(torch.randint(self._ids.shape[1], (), generator=parts.generator))
        gains = -parts.projection.products(gradient[0, position : position + 1])[0]
        tokens = parts.projection.preferred[gains.topk(min(parts.swaps, len(gains))).indices]
        tried = self._ids.repeat(len(tokens) + 1, 1)
        tried[1:, position] = tokens
        judged = parts.goal.judge(tried, parts.goal.drawn(parts.generator))
        self._ids = tried[judged.score.argmax()][None]
        return tried.tolist(), judged.score.tolist(), judged.reported.tolist()

    def state(self) -> State:
        return {"ids": self._ids, "generator": self._parts.generator.get_state()}

    def restore(self, state: State) -> None:
        self._ids = state["ids"].to(self._ids.device)
        self._parts.generator.set_state(state["generator"])


class Leader:
    """The prompt that swaps start from: the best so far by the goal that judges swaps."""

    def __init__(self, learned: Ids, score: float) -> None:
        self.learned, self.score = learned, score


class PezThenRefine:
    """The PEZ loop, then the refinement of the best prompt that the picture side shares."""

    def __init__(self, parts: Parts) -> None:
        self._parts, self._pez = parts, Pez(parts)
        self._leader: Leader | None = None
        self._refinement: Refinement | None = None

    def step(self, share: float, best: Ids) -> Offer:
        if self._refinement is None and (share < DESCENT_SHARE or not best):
            return self._pez.step(share, best)
        if self._refinement is None:
            score = self._parts.swap_goal.judge(torch.tensor([best], device=self._parts.start.device)).score.item()
            self._begin(Leader(best, score))
        assert self._refinement is not None and self._leader is not None
        tried, scores, reported = self._refinement.round()
        for score, ids in sorted(zip(scores, map(tuple, tried)), reverse=True):
            if score <= self._leader.score:
                break
            if self._parts.admits(ids):
                self._leader.learned, self._leader.score = ids, score
                break
        # Only the leader is worth validating: the others did worse on the same examples.
        return [list(self._leader.learned)], [self._leader.score], [max(reported)]

    def state(self) -> State:
        if self._refinement is None or self._leader is None:
            return self._pez.state()
        leader = {"leader": torch.tensor(self._leader.learned), "score": torch.tensor(self._leader.score).double()}
        return {**leader, **self._refinement.state(), "generator": self._parts.generator.get_state()}

    def restore(self, state: State) -> None:
        if "leader" not in state:
            self._pez.restore(state)
            return
        self._begin(Leader(tuple(state["leader"].tolist()), state["score"].item()))
        assert self._refinement is not None
        self._refinement.restore(state)
        self._parts.generator.set_state(state["generator"])

    def _begin(self, leader: Leader) -> None:
        parts, self._leader = self._parts, leader
        self._refinement = Refinement(parts.swap_goal, parts.projection, leader, parts.generator, parts.swaps)


class Soft:
    """A soft prompt, not projected at all (Lester et al. 2021): no text, but the measure of what prompts can do."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.embedded = parts.model.embed(parts.start[:1]).float().clone().requires_grad_(True)
        self._optimiser = torch.optim.AdamW([self.embedded], lr=parts.learning_rate, weight_decay=parts.weight_decay)

    def step(self, share: float, best: Ids) -> Offer:
        rows = self._parts.goal.drawn(self._parts.generator)
        judged, self.embedded.grad = self._parts.goal.judge_embedded(self.embedded, rows)
        self._optimiser.step()
        return [[]], judged.score.tolist(), judged.reported.tolist()

    def state(self) -> State:
        moments = self._optimiser.state[self.embedded]
        return {"embedded": self.embedded.detach(), **moments, "generator": self._parts.generator.get_state()}

    def restore(self, state: State) -> None:
        with torch.no_grad():
            self.embedded.copy_(state["embedded"])
        kept = {name: state[name] for name in ("step", "exp_avg", "exp_avg_sq")}
        self._optimiser.state[self.embedded] = {name: value.to(self.embedded.device) for name, value in kept.items()}
        self._parts.generator.set_state(state["generator"])


METHODS: dict[str, Callable[[Parts], Method]] = {
    "pez": Pez,
    "pez+refine": PezThenRefine,
    "autoprompt": AutoPrompt,
    "fluentprompt": FluentPrompt,
    "soft": Soft,
}
TEMPLATE_ONLY = "template"
