"""Learning a prompt for classification, with validation and checkpoints."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import PezError
from ..projection import Projection
from ..vocabulary import blocked_phrases
from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .data import Examples, in_turns, split
from .goal import ClassificationGoal
from .methods import METHODS, TEMPLATE_ONLY, Ids, Method, Parts, Soft
from .ranking import Ranked, Ranking
from .task import Task

SWAP_EXAMPLES = 32
START_AMONG = 4096


@dataclass(frozen=True)
class FitSettings:
    """How a prompt is learned. The defaults are those that `pez` was measured with.

    `tokens` is the prompt's length, `batch` how many examples a step sees, drawn from `pool` of the training data, each
    of which is read once. `candidates` searches run together. `fluency` is λ, the weight of the prompt's own surprise
    against the task. `learning_rate` is in units of the spread of the model's embeddings; `soft` wants less, about 0.3.
    No text that holds a phrase of `blocklist` is returned: whole words, in any case, across tokens too.
    `time_budget` is in seconds (None: `steps` alone decide).

    For Python only, and neither on the command line nor in the node: `pool`; `validate_every`, after how many steps the
    prompts at hand are scored on the validation data; `keep`, how many of the best texts stay; `swaps`, how many tokens
    compete for a place in a step of `pez+refine` and `autoprompt`; `weight_decay`.

    Raises PezError for values that cannot be used.
    """

    method: str = "pez"
    tokens: int = 5
    steps: int = 200
    candidates: int = 1
    batch: int = 16
    pool: int = 512
    fluency: float = 0.0
    validate_every: int = 20
    keep: int = 5
    swaps: int = 8
    seed: int = 0
    learning_rate: float = 2.0
    weight_decay: float = 0.0
    token_filter: str = "ascii words"
    blocklist: tuple[str, ...] = ()
    time_budget: float | None = None

    def __post_init__(self) -> None:
        if self.method not in (*METHODS, TEMPLATE_ONLY):
            raise PezError(f"method {self.method!r} is unknown; choose one of {', '.join((*METHODS, TEMPLATE_ONLY))}.")
        for name in ("tokens", "steps", "candidates", "batch", "pool", "validate_every", "keep", "swaps"):
            if getattr(self, name) < 1:
                raise PezError(f"{name} is {getattr(self, name)}; choose 1 or more.")
        if not 0 <= self.fluency < 1:
            raise PezError(f"fluency is {self.fluency}; choose a weight from 0 to below 1.")
        if not 0 < self.learning_rate < math.inf:
            raise PezError(f"learning rate is {self.learning_rate}; choose more than 0, such as 2.")
        if not 0 <= self.weight_decay < math.inf:
            raise PezError(f"weight decay is {self.weight_decay}; choose 0 or more.")
        if not 0 <= self.seed < 2**64:
            raise PezError(f"seed is {self.seed}; choose 0 to {2**64 - 1}.")
        if self.time_budget is not None and not 0 < self.time_budget < math.inf:
            raise PezError(f"time budget is {self.time_budget} seconds; choose more than 0, or none.")


@dataclass(frozen=True)
class ClassificationPrompt:
    """A learned prompt: its text, its accuracy on the validation data, and the runners-up, best first.

    `soft` (M, D) is what the method without a projection learned; its text is empty. `cut` training texts were too
    long.
    """

    text: str
    accuracy: float
    ranked: tuple[Ranked, ...]
    model: str
    template: str
    verbalizer: str
    settings: FitSettings
    steps: int
    cut: int = 0
    history: tuple[float, ...] = field(default=(), repr=False)
    soft: Tensor | None = field(default=None, repr=False)

    def to_json(self) -> str:
        """Everything but the soft prompt, as one line."""
        return json.dumps(asdict(replace(self, soft=None)), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> ClassificationPrompt:
        """The result that `to_json` wrote."""
        fields = json.loads(text)
        settings = fields.pop("settings")
        fields["settings"] = FitSettings(**{**settings, "blocklist": tuple(settings["blocklist"])})
        fields["ranked"] = tuple(Ranked(**ranked) for ranked in fields["ranked"])
        return cls(**{**fields, "history": tuple(fields["history"])})


@dataclass(frozen=True)
class FitProgress:
    """Where learning stands after `step` of `steps`: the best text and its accuracy on the validation data."""

    step: int
    steps: int
    accuracy: float
    text: str


OnFitStep = Callable[[FitProgress], bool | None]


def fit(
    task: Task,
    train: Examples,
    validation: Examples,
    settings: FitSettings = FitSettings(),
    checkpoint: Path | None = None,
    on_step: OnFitStep | None = None,
) -> ClassificationPrompt:
    """Learn a prompt on `train`, and choose by `validation` (Wen et al. 2023, section 5).

    With a folder `checkpoint` the state is saved at every validation; when it holds one of the same run, learning goes
    on from there and ends as an unbroken run does. `on_step` is called after every step and stops by returning True.

    Raises PezError for no examples, a checkpoint of another run, and when every text that was found is blocked.
    """
    if not len(train) or not len(validation):
        raise PezError("examples are missing; give at least one to train on and one to validate with.")
    run = _identity(task, train, validation, settings) if checkpoint else {}
    train, cut = task.fitted(_pool(train, settings), settings.tokens)
    validation, _ = task.fitted(validation, settings.tokens)
    ranking = Ranking(task, validation, settings.keep, blocked_phrases(settings.blocklist))
    if settings.method == TEMPLATE_ONLY:
        ranking.consider_text("")
        return _result(task, settings, ranking, 0, cut, None)
    method = METHODS[settings.method](_parts(task, train, settings))
    if isinstance(method, Soft):
        ranking.soft = method
    steps = _learn(method, ranking, settings, checkpoint, run, on_step)
    if not ranking.ranked:
        raise PezError("blocklist is in every text that was found; take phrases out of it, or take more steps.")
    return _result(task, settings, ranking, steps, cut, ranking.best_soft)


def table(found: ClassificationPrompt) -> str:
    """The best prompts, a line each: accuracy, loss, text."""
    lines = [f"{ranked.accuracy:8.3f}  {ranked.loss:6.3f}  {ranked.text}" for ranked in found.ranked]
    return "\n".join(["accuracy    loss  prompt", *lines])


def _identity(task: Task, train: Examples, validation: Examples, settings: FitSettings) -> dict[str, Any]:
    """What a run depends on, by the names that people know it by."""
    chosen = {name.replace("_", " "): value for name, value in asdict(settings).items()}
    return {
        "training texts": _hash(train.texts),
        "training labels": _hash(train.labels),
        "validation texts": _hash(validation.texts),
        "validation labels": _hash(validation.labels),
        "template": task.template.pattern,
        "verbalizer": str(task.verbalizer),
        "model name": task.model.name,
        "model weights": task.model.fingerprint(),
        **chosen,
        "blocklist": list(settings.blocklist),
    }


def _hash(values: tuple[str, ...] | tuple[int, ...]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def _learn(
    method: Method,
    ranking: Ranking,
    settings: FitSettings,
    folder: Path | None,
    run: dict[str, Any],
    on_step: OnFitStep | None,
) -> int:
    """Steps until they, the time or `on_step` end it; how many were taken."""
    saved = load_checkpoint(folder, run) if folder else None
    spent_before, first = 0.0, 0
    if saved:
        method.restore(saved.tensors)
        ranking.restore(saved.ranking, saved.tensors)
        spent_before, first = saved.seconds, saved.step
    began = time.monotonic() - spent_before
    budget = settings.time_budget or math.inf
    if spent_before >= budget:
        return first
    for step in range(first, settings.steps):
        spent = time.monotonic() - began
        share = step / settings.steps if settings.time_budget is None else min(1.0, spent / budget)
        ranking.offer(method.step(share, ranking.best_ids))
        over = step + 1 == settings.steps or time.monotonic() - began >= budget
        if (step + 1) % settings.validate_every == 0 or over:
            ranking.validate()
            if folder:
                seconds = time.monotonic() - began
                tensors = {**method.state(), **ranking.tensors}
                save_checkpoint(folder, Checkpoint(run, step + 1, seconds, ranking.state(), tensors))
        progress = FitProgress(step + 1, settings.steps, ranking.accuracy, ranking.text)
        stopped = on_step is not None and on_step(progress)
        if over or stopped:
            if stopped and not ranking.ranked:
                ranking.validate()
            return step + 1
    return settings.steps


def _pool(train: Examples, settings: FitSettings) -> Examples:
    return train if len(train) <= settings.pool else split(train, settings.pool, settings.seed)[0]


def _parts(task: Task, train: Examples, settings: FitSettings) -> Parts:
    model = task.model
    allowed = model.vocabulary.allowed_ids(settings.token_filter, settings.blocklist)
    projection = Projection([model.embeddings], allowed)
    generator = torch.Generator().manual_seed(settings.seed)
    start = _start(projection.allowed, settings, generator)
    rows = task.rows(train)
    some = in_turns(train, settings.seed)[:SWAP_EXAMPLES]
    blocked = blocked_phrases(settings.blocklist)

    def admits(ids: Ids) -> bool:
        text = model.vocabulary.decode(ids)
        return task.prompt_ids(text) == ids and not blocked.search(text)

    return Parts(
        model,
        ClassificationGoal(task, rows, settings.batch, settings.fluency),
        ClassificationGoal(task, rows.take(some), SWAP_EXAMPLES, settings.fluency),
        projection,
        start,
        generator,
        settings.learning_rate,
        settings.weight_decay,
        settings.swaps,
        admits,
    )


def _start(allowed: Tensor, settings: FitSettings, generator: torch.Generator) -> Tensor:
    """Random ids (B, M) among the first that are allowed: vocabularies of merges begin with the frequent words."""
    frequent = allowed[:START_AMONG]
    chosen = torch.randint(len(frequent), (settings.candidates, settings.tokens), generator=generator)
    return frequent[chosen.to(frequent.device)]


def _result(
    task: Task, settings: FitSettings, ranking: Ranking, steps: int, cut: int, soft: Tensor | None
) -> ClassificationPrompt:
    return ClassificationPrompt(
        ranking.text,
        ranking.accuracy,
        tuple(ranking.ranked),
        task.model.name,
        task.template.pattern,
        str(task.verbalizer),
        settings,
        steps,
        cut,
        tuple(ranking.history),
        soft,
    )
