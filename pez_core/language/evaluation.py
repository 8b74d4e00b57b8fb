"""How well a prompt in plain text does, raw and with the class prior taken out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .classifier import Classifier
from .data import Examples

CONTENT_FREE = ("N/A", "", "[MASK]")
PERPLEXITY_TEXTS = 16
TOGETHER = 32

Prompt = str | Tensor


@dataclass(frozen=True)
class Evaluation:
    """Accuracies, 0 to 1, over `examples` texts, of which `cut` were too long and lost their ends.

    `calibrated` is after contextual calibration (Zhao et al. 2021, section 5): the class probabilities of texts without
    content are divided out. `median` goes further and needs a whole batch of texts: what is divided out is each class's
    middle probability over them. `perplexity` is that of the prompt behind texts; None without a prompt of tokens.
    """

    prompt: str
    accuracy: float
    calibrated: float
    median: float
    loss: float
    perplexity: float | None
    examples: int
    cut: int


def evaluate(classifier: Classifier, prompt: Prompt, examples: Examples) -> Evaluation:
    """The accuracy of a prompt. Every text is filled into the template and tokenised as a whole.

    A soft prompt is given by its embeddings (M, D). Raises PezError when template and prompt fill the context.
    """
    text = prompt if isinstance(prompt, str) else ""
    length = len(classifier.prompt_ids(text)) if isinstance(prompt, str) else len(prompt)
    examples, cut = classifier.truncated(examples, length)
    scores = class_scores(classifier, prompt, examples)
    labels = torch.tensor(examples.labels)
    free = Examples(CONTENT_FREE, (0,) * len(CONTENT_FREE))
    prior = class_scores(classifier, prompt, free).exp().mean(0).log()
    taken_out = (0, prior, scores.median(0).values)
    raw, calibrated, median = (_share_right(scores - offset, labels) for offset in taken_out)
    loss, perplexity = F.cross_entropy(scores, labels).item(), _perplexity(classifier, text, examples)
    return Evaluation(text, raw, calibrated, median, loss, perplexity, len(examples), cut)


def transfer(classifier: Classifier, prompts: Sequence[str], examples: Examples) -> list[Evaluation]:
    """Prompts learned on another model, best first there, read by this model's tokenizer (section 5)."""
    return [evaluate(classifier, prompt, examples) for prompt in prompts]


@torch.no_grad()
def class_scores(classifier: Classifier, prompt: Prompt, examples: Examples) -> Tensor:
    """Log-probabilities (N, K) of the classes, among each other."""
    if isinstance(prompt, str):
        read, embedded = classifier.filled(examples, prompt), classifier.model.embeddings[:0][None]
    else:
        read, embedded = classifier.tokenised(examples, len(prompt)), prompt[None]
    order = sorted(range(len(read)), key=lambda row: (len(read.heads[row]), len(read.tails[row])))
    parts = [
        classifier.scores(embedded, read.take(order[first : first + TOGETHER])).classes[0]
        for first in range(0, len(order), TOGETHER)
    ]
    return torch.cat(parts).log_softmax(-1).cpu()[torch.tensor(order).argsort()]


def _share_right(scores: Tensor, labels: Tensor) -> float:
    return (scores.argmax(-1) == labels).float().mean().item()


@torch.no_grad()
def _perplexity(classifier: Classifier, prompt: str, examples: Examples) -> float | None:
    ids = classifier.prompt_ids(prompt) if prompt else ()
    if not ids:
        return None
    tensor = torch.tensor([ids], device=classifier.model.device)
    some = classifier.tokenised(examples.take(range(min(PERPLEXITY_TEXTS, len(examples)))), len(ids))
    surprise = classifier.scores(classifier.model.embed(tensor), some, tensor, len(some)).surprise
    return None if surprise is None else math.exp(surprise.item())
