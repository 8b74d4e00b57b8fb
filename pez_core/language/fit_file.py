"""From a file of labelled texts to a learned prompt."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ..optimiser.run import OnStep
from .classifier import Classifier
from .data import few_shot, read_examples, train_and_validation
from .fit import fit
from .model import LanguageModel
from .result import ClassificationResult
from .settings import FitSettings
from .template import Template
from .verbalizer import Verbalizer


def fit_file(
    load: Callable[[], LanguageModel],
    train: Path,
    text: Sequence[str],
    label: str,
    template: str,
    verbalizer: str,
    settings: FitSettings = FitSettings(),
    per_class: int | None = None,
    validation: Path | None = None,
    checkpoint: Path | None = None,
    on_step: OnStep | None = None,
) -> ClassificationResult:
    """Learn a prompt on the rows of a TSV or CSV file, whose columns `text` and `label` name.

    Prompts are chosen by the rows of `validation`, or by some of `train`; with `per_class`, so many of each class serve
    for learning and for choosing. The model is not loaded before all else was found in order.

    Raises PezError as `read_examples`, `train_and_validation` and `fit` do.
    """
    words, pattern = Verbalizer.parse(verbalizer), Template(template)
    classes, seed = words.classes, settings.seed
    learned = read_examples(train, text, label, classes)
    if validation is None:
        learned, chosen = train_and_validation(learned, classes, per_class, seed)
    else:
        chosen = read_examples(validation, text, label, classes)
        some = few_shot(learned, 1 if per_class is None else per_class, classes, seed)
        if per_class is not None:
            learned, chosen = some, few_shot(chosen, per_class, classes, seed)
    return fit(Classifier(load(), pattern, words), learned, chosen, settings, checkpoint, on_step)
