"""Learning a prompt for classification, with validation and checkpoints."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import PezError
from ..optimiser.projection import Projection
from ..optimiser.run import OnStep, Run
from ..vocabulary import blocked_phrases
from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .classifier import Classifier, TokenisedExamples
from .data import Examples, in_turns, split
from .judge import ClassificationJudge
from .methods import METHODS, TEMPLATE_ONLY, Method, Parts
from .prefix_cache import Ids
from .ranking import Ranking
from .result import ClassificationResult
from .settings import FitSettings

SWAP_EXAMPLES = 32
START_AMONG = 4096


def fit(
    classifier: Classifier,
    train: Examples,
    validation: Examples,
    settings: FitSettings = FitSettings(),
    checkpoint: Path | None = None,
    on_step: OnStep | None = None,
) -> ClassificationResult:
    """Learn a prompt on `train`, and choose by `validation` (Wen et al. 2023, section 5).

    With a folder `checkpoint` the state is saved at every validation; when it holds one of the same run, learning goes
    on from there and ends as an unbroken run does. `on_step` is called after every step and stops by returning True.

    Raises PezError for no examples, a checkpoint of another run, and when every text that was found is blocked.
    """
    if not len(train) or not len(validation):
        raise PezError("examples are missing; give at least one to train on and one to validate with.")
    identity = _identity(classifier, train, validation, settings) if checkpoint else {}
    pool = train if len(train) <= settings.pool else split(train, settings.pool, settings.seed)[0]
    examples = classifier.tokenised(pool, settings.tokens)
    validation, _ = classifier.truncated(validation, settings.tokens)
    ranking = Ranking(classifier, validation, settings.keep, blocked_phrases(settings.blocklist))
    steps = 0
    if settings.method == TEMPLATE_ONLY:
        ranking.judge("")
    else:
        method = METHODS[settings.method](_parts(classifier, pool, examples, settings))
        steps = _learn(method, ranking, settings, checkpoint, identity, on_step)
    if not ranking.ranked:
        raise PezError("blocklist is in every text that was found; take phrases out of it, or take more steps.")
    return ClassificationResult(
        ranking.text, ranking.accuracy, tuple(ranking.ranked), classifier.model.name,
        classifier.template.pattern, str(classifier.verbalizer), settings, steps,
        examples.cut, tuple(ranking.history), ranking.soft, len(validation),
    )  # fmt: skip


def _learn(
    method: Method,
    ranking: Ranking,
    settings: FitSettings,
    folder: Path | None,
    identity: dict[str, Any],
    on_step: OnStep | None,
) -> int:
    """Steps until they, the time or `on_step` end it; how many were taken, those before an interruption included."""
    run = Run(settings.steps, settings.time_budget, on_step)
    if saved := load_checkpoint(folder, identity) if folder else None:
        method.restore(saved.tensors)
        ranking.restore(saved.ranking, saved.tensors)
        run = Run(settings.steps, settings.time_budget, on_step, saved.step, saved.seconds)
    while run.next():
        ranking.consider(method.step(run.spent, ranking.best_ids))
        if run.step % settings.validate_every == 0 or run.over:
            ranking.validate(method.prompt)
            if folder:
                tensors = {**method.state(), **ranking.tensors}
                save_checkpoint(folder, Checkpoint(identity, run.step, run.seconds, ranking.state(), tensors))
        run.tell(ranking.accuracy, ranking.text)
    if not ranking.ranked:
        ranking.validate(method.prompt)
    return run.step


def _identity(classifier: Classifier, train: Examples, validation: Examples, settings: FitSettings) -> dict[str, Any]:
    """What a run depends on, by the names that people know it by."""
    chosen = {name.replace("_", " "): value for name, value in asdict(settings).items()}
    return {
        "training texts": _hash(train.texts),
        "training labels": _hash(train.labels),
        "validation texts": _hash(validation.texts),
        "validation labels": _hash(validation.labels),
        "template": classifier.template.pattern,
        "verbalizer": str(classifier.verbalizer),
        "model name": classifier.model.name,
        "model weights": classifier.model.fingerprint(),
        **chosen,
        "blocklist": list(settings.blocklist),
    }


def _hash(values: tuple[str, ...] | tuple[int, ...]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def _parts(classifier: Classifier, pool: Examples, examples: TokenisedExamples, settings: FitSettings) -> Parts:
    model = classifier.model
    projection = Projection([model.embeddings], model.vocabulary.allowed_ids(settings.token_filter, settings.blocklist))
    generator = torch.Generator().manual_seed(settings.seed)
    few = examples.take(in_turns(pool, settings.seed)[:SWAP_EXAMPLES])
    blocked = blocked_phrases(settings.blocklist)

    def admits(ids: Ids) -> bool:
        text = model.vocabulary.decode(ids)
        return classifier.prompt_ids(text) == ids and not blocked.search(text)

    return Parts(
        model,
        ClassificationJudge(classifier, examples, settings.batch, settings.fluency),
        ClassificationJudge(classifier, few, SWAP_EXAMPLES, settings.fluency),
        projection,
        _start(projection.allowed, settings, generator),
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
