"""What people come for: invert, style, distill, concat and score."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from torch import Tensor

from .contributions import contributions
from .encoders.encoder import Encoder
from .encoders.windows import window_note, windows
from .errors import PezError
from .guided_search import GuidedSearch
from .hard_prompt import HardPrompt
from .objectives import Match, Objective, WeightedSum
from .optimiser.run import OnStep
from .priors import Prior
from .search import search
from .search_result import SearchResult
from .settings import SearchSettings

STYLE_BATCH = 4
SEPARATOR = ", "
RATIO = 0.3


def invert(
    encoder: Encoder,
    targets: Tensor,
    settings: SearchSettings = SearchSettings(),
    avoid: Tensor | None = None,
    on_step: OnStep | None = None,
    prior: Prior | None = None,
) -> HardPrompt:
    """Words for what pictures show (Wen et al. 2023, section 4). `targets` and `avoid` are unit features (T, F)."""
    return _searched("invert", encoder, _attract(targets, avoid, settings.batch), settings, on_step, prior)


def refine(
    encoder: Encoder,
    text: str,
    targets: Tensor,
    settings: SearchSettings = SearchSettings(),
    avoid: Tensor | None = None,
    on_step: OnStep | None = None,
    prior: Prior | None = None,
) -> HardPrompt:
    """A text, such as a caption, edited to fit pictures: what they confirm stays, and the rest is left out or replaced.

    It may become as long as `settings.tokens`, or as it is. `targets` and `avoid` are unit features (T, F).

    Raises PezError for an empty text, one that is longer than a window, and where language does not count.
    """
    tokens = encoder.vocabulary.encode(text)
    if not tokens:
        raise PezError("text to refine is empty; write a prompt.")
    if len(tokens) > encoder.tower.window:
        raise PezError(
            f"text to refine takes {len(tokens)} tokens, and {encoder.tower.window} are read at once; shorten it, for "
            "example by distilling it first."
        )
    if not settings.language:
        raise PezError("language is 0, which edits no text; choose more, such as 1.")
    settings = replace(settings, tokens=max(settings.tokens, len(tokens)))
    objective = _attract(targets, avoid, settings.batch)
    with _ready(encoder):
        found = GuidedSearch(encoder, objective, settings, on_step, prior).edited(text)
        return _result("refine", encoder, objective, settings, found)


def style(
    encoder: Encoder,
    targets: Tensor,
    settings: SearchSettings = SearchSettings(),
    avoid: Tensor | None = None,
    on_step: OnStep | None = None,
    prior: Prior | None = None,
) -> HardPrompt:
    """Words for what pictures share (section 4, Style Transfer), such as their style.

    `targets` and `avoid` are unit features (T, F). Each step sees `settings.batch` of the targets, or 4. Where language
    counts, words are sought that hold beside what each picture is called (`guided/shared.py`).
    """
    objective = _attract(targets, avoid, settings.batch or STYLE_BATCH)
    if not settings.language:
        return _searched("style", encoder, objective, settings, on_step, prior)
    each = [_attract(target[None], avoid, None) for target in targets]
    with _ready(encoder):
        found = GuidedSearch(encoder, objective, settings, on_step, prior).shared(each)
        return _result("style", encoder, objective, settings, found)


def distill(
    encoder: Encoder,
    prompt: str,
    settings: SearchSettings = SearchSettings(),
    ratio: float | None = None,
    on_step: OnStep | None = None,
    prior: Prior | None = None,
) -> HardPrompt:
    """A shorter prompt with a long one's features: L = 1 − Sim(f(P_target), f(P)) (section 4, Prompt Distillation).

    With `ratio` the length is that share of the prompt's tokens, at least 1, in place of `settings.tokens`. A prompt of
    more than one window is read in windows, as ComfyUI reads it, and the short one is to be near to all of them. Where
    language counts, it is shortened to its own words (`guided/shorten.py`).

    Raises PezError for an empty prompt, a ratio outside 0 to 1, and a share that is itself longer than a window.
    """
    tokens = encoder.vocabulary.encode(prompt)
    if not tokens:
        raise PezError("prompt to distill is empty; write the text that is to be shortened.")
    if ratio is not None:
        if not 0 < ratio < 1:
            raise PezError(f"ratio is {ratio}; choose a share of the prompt between 0 and 1, such as 0.3.")
        settings = replace(settings, tokens=max(1, round(ratio * len(tokens))))
    encoder.bring()
    parts = windows(encoder, tokens)
    target = encoder.tower.encode_ids(parts)
    if not settings.language:
        return _searched("distill", encoder, Match(target), settings, on_step, prior)
    with encoder.held():
        guided = GuidedSearch(encoder, Match(target), settings, on_step, prior)
        found = guided.shortened(parts, [Match(part[None]) for part in target])
        return _result("distill", encoder, Match(target), settings, found)


def negative(
    encoder: Encoder,
    avoid: Tensor,
    settings: SearchSettings = SearchSettings(),
    keep: Tensor | None = None,
    on_step: OnStep | None = None,
    prior: Prior | None = None,
) -> HardPrompt:
    """Words for a negative prompt: near to pictures to avoid, and far from those to keep.

    `avoid` and `keep` are unit features (T, F). The similarity is that to the pictures to avoid.
    """
    return _searched("negative", encoder, _attract(avoid, keep, settings.batch), settings, on_step, prior)


def concat(encoder: Encoder, prompts: Sequence[str], separator: str = SEPARATOR) -> HardPrompt:
    """Prompts put together (section 4, Prompt Concatenation); the similarity is the mean one to each of them.

    Raises PezError for fewer than two prompts or an empty one.
    """
    if len(prompts) < 2:
        raise PezError("prompts to concatenate are fewer than two; give at least two.")
    if not all(prompt.strip() for prompt in prompts):
        raise PezError("prompts to concatenate include an empty one; write something in it or leave it out.")
    text = separator.join(prompt.strip() for prompt in prompts)
    encoder.bring()
    parts = encoder.tower.encode_ids([encoder.vocabulary.encode(prompt) for prompt in prompts])
    return _scored("concat", encoder, text, Match(parts))


def score(encoder: Encoder, text: str, targets: Tensor) -> HardPrompt:
    """The similarity of a given text to pictures; `targets` are unit features (T, F).

    Raises PezError for an empty text.
    """
    if not encoder.vocabulary.encode(text):
        raise PezError("text to score is empty; write a prompt.")
    return _scored("score", encoder, text, Match(targets))


def _attract(targets: Tensor, avoid: Tensor | None, batch: int | None) -> Objective:
    match = Match(targets, batch)
    return match if avoid is None else WeightedSum([(1.0, match), (-0.5, Match(avoid))])


def _searched(
    task: str,
    encoder: Encoder,
    objective: Objective,
    settings: SearchSettings,
    on_step: OnStep | None,
    prior: Prior | None,
) -> HardPrompt:
    with _ready(encoder):
        return _result(task, encoder, objective, settings, search(encoder, objective, settings, on_step, prior))


def _ready(encoder: Encoder) -> AbstractContextManager[object]:
    encoder.bring()
    return encoder.held()


def _result(
    task: str, encoder: Encoder, objective: Objective, settings: SearchSettings, found: SearchResult
) -> HardPrompt:
    pieces = contributions(encoder, found.tokens, objective)
    return HardPrompt(
        task, found.text, found.tokens, found.similarity, encoder.name, settings, found.history, pieces, found.notes,
        found.alternatives,
    )  # fmt: skip


def _scored(task: str, encoder: Encoder, text: str, objective: Objective) -> HardPrompt:
    encoder.bring()
    tokens = tuple(encoder.vocabulary.encode(text))
    similarity = objective.similarity(encoder.tower.encode_ids([tokens])).item()
    note = window_note(encoder, tokens)
    return HardPrompt(
        task, text, tokens, similarity, encoder.name, pieces=contributions(encoder, tokens, objective),
        notes=(note,) if note else (),
    )  # fmt: skip
