"""Ways to learn a prompt for classification. Each takes a step at a time, and its state can be saved between steps."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..optimiser.descent import Descent, Iterate
from ..optimiser.judge import Offer, Verdict
from ..optimiser.projection import Projection
from ..optimiser.refinement import Refinement
from .evaluation import Prompt
from .judge import ClassificationJudge
from .model import LanguageModel
from .prefix_cache import Ids

State = dict[str, Tensor]

LANGEVIN_NOISE = (1.0, 1e-4)
DESCENT_SHARE = 0.5


@dataclass(frozen=True)
class Parts:
    """What all methods are made of: the judge on the training data, the judge of swaps, and where to go.

    `admits` tells whether ids come back from the round trip, and as a text that may be returned. `relative_rate` is the
    learning rate in units of the spread of the model's embeddings, which differs by orders of magnitude.
    """

    model: LanguageModel
    judge: ClassificationJudge
    swap_judge: ClassificationJudge
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

    def iterate(self, start: Tensor) -> Iterate:
        """The continuous prompts (B, M, D) that begin at ids (B, M)."""
        return Iterate(self.model.embed(start).float(), self.learning_rate, self.weight_decay)


class Method(ABC):
    """A way to learn a prompt. The prompts are texts, unless a method says otherwise."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @abstractmethod
    def step(self, share: float, best: Ids) -> Offer:
        """Go on, when `share` of the run is over and `best` leads; the ids (B, M) tried, and the verdict on them."""

    def prompt(self, ids: Sequence[int]) -> Prompt:
        """What ids that were offered stand for: a text, or the embeddings (M, D) of a soft prompt."""
        return self._parts.model.vocabulary.decode(ids)

    def state(self) -> State:
        """All that the next steps depend on."""
        return {"generator": self._parts.generator.get_state()}

    def restore(self, state: State) -> None:
        """Go on from what `state` gave."""
        self._parts.generator.set_state(state["generator"])


class Pez(Method):
    """The loop that the picture side shares: the best of what a PEZ descent tries."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._descent = Descent(parts.judge, parts.projection, parts.iterate(parts.start), parts.generator)

    def step(self, share: float, best: Ids) -> Offer:
        return self._descent.step()

    def state(self) -> State:
        return {**super().state(), **self._descent.iterate.state()}

    def restore(self, state: State) -> None:
        super().restore(state)
        self._descent.iterate.restore(state)


class TokenMethod(Method):
    """A method that goes from ids to ids."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._ids = parts.start

    def state(self) -> State:
        return {**super().state(), "ids": self._ids}

    def restore(self, state: State) -> None:
        super().restore(state)
        self._ids = state["ids"].to(self._ids.device)


class FluentPrompt(TokenMethod):
    """Langevin steps from token to token (Shi et al. 2022, section 3.2): gradient and noise, then the projection.

    The noise falls geometrically over the budget.
    """

    def step(self, share: float, best: Ids) -> Offer:
        parts, tried = self._parts, self._ids
        verdict, gradient = parts.judge.with_gradient(tried, parts.generator)
        first, last = LANGEVIN_NOISE
        spread = math.sqrt(2) * parts.learning_rate * first * (last / first) ** share
        noise = torch.randn(gradient.shape, generator=parts.generator).to(gradient)
        direction = gradient / gradient.flatten(1).std(1)[:, None, None].clamp(min=1e-12)
        self._ids = parts.projection(
            parts.model.embed(tried).float() - parts.learning_rate * direction + spread * noise
        )
        return Offer(tried, verdict)


class AutoPrompt(TokenMethod):
    """Token swaps by gradient on mini-batches (Shin et al. 2020, section 2.2), at one random position a step."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._ids = parts.start[:1]

    def step(self, share: float, best: Ids) -> Offer:
        parts = self._parts
        _, gradient = parts.judge.with_gradient(self._ids, parts.generator)
        position = int(torch.randint(self._ids.shape[1], (), generator=parts.generator))
        gains = -parts.projection.products(gradient[0, position : position + 1])[0]
        tokens = parts.projection.preferred[gains.topk(min(parts.swaps, len(gains))).indices]
        tried = self._ids.repeat(len(tokens) + 1, 1)
        tried[1:, position] = tokens
        verdict = parts.judge.verdict(tried, parts.judge.drawn(parts.generator))
        self._ids = tried[verdict.score.argmax()][None]
        return Offer(tried, verdict)


@dataclass(frozen=True)
class Leader:
    """The prompt that swaps start from: the best so far by the judge of swaps."""

    learned: Ids
    score: float


class PezThenRefine(Method):
    """The PEZ loop, then the refinement of the best prompt that the picture side shares."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._pez = Pez(parts)
        self._refinement = Refinement(parts.swap_judge, parts.projection, parts.generator, parts.swaps)
        self._leader: Leader | None = None

    def step(self, share: float, best: Ids) -> Offer:
        if self._leader is None and (share < DESCENT_SHARE or not best):
            return self._pez.step(share, best)
        device = self._parts.start.device
        leader = self._leader or Leader(
            best, self._parts.swap_judge.verdict(torch.tensor([best], device=device)).score.item()
        )
        offer = self._refinement.round(leader.learned)
        self._leader = self._best_admitted(offer, leader)
        # Only the leader is worth validating: the others did worse on the same examples.
        score = torch.tensor([self._leader.score], dtype=torch.float64)
        return Offer(torch.tensor([self._leader.learned]), Verdict(score, offer.verdict.reported.max()[None]))

    def _best_admitted(self, offer: Offer, leader: Leader) -> Leader:
        """The swap that scores highest of those that beat the leader and may be returned, else the leader."""
        for score, ids in sorted(zip(offer.verdict.score.tolist(), map(tuple, offer.ids.tolist())), reverse=True):
            if score <= leader.score:
                break
            if self._parts.admits(ids):
                return Leader(ids, score)
        return leader

    def state(self) -> State:
        if self._leader is None:
            return self._pez.state()
        leader = {"leader": torch.tensor(self._leader.learned), "score": torch.tensor(self._leader.score).double()}
        return {**leader, **self._refinement.state(), **super().state()}

    def restore(self, state: State) -> None:
        if "leader" not in state:
            self._pez.restore(state)
            return
        self._leader = Leader(tuple(state["leader"].tolist()), state["score"].item())
        self._refinement.restore(state)
        super().restore(state)


class Soft(Method):
    """A soft prompt, not projected at all (Lester et al. 2021): no text, but the measure of what prompts can do.

    What it offers has no ids.
    """

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        self._iterate = parts.iterate(parts.start[:1])

    def step(self, share: float, best: Ids) -> Offer:
        judge = self._parts.judge
        verdict, gradient = judge.embedded_with_gradient(self._iterate.values, judge.drawn(self._parts.generator))
        self._iterate.move(gradient)
        return Offer(self._parts.start[:1, :0], verdict)

    def prompt(self, ids: Sequence[int]) -> Prompt:
        return self._iterate.values.detach()[0].clone()

    def state(self) -> State:
        return {**super().state(), **self._iterate.state()}

    def restore(self, state: State) -> None:
        super().restore(state)
        self._iterate.restore(state)


METHODS: dict[str, Callable[[Parts], Method]] = {
    "pez": Pez,
    "pez+refine": PezThenRefine,
    "autoprompt": AutoPrompt,
    "fluentprompt": FluentPrompt,
    "soft": Soft,
}
TEMPLATE_ONLY = "template"
