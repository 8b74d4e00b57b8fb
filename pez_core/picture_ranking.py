"""Prompts ranked by the pictures that a model drew from them."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from .errors import PezError


@dataclass(frozen=True)
class RankedPrompt:
    """A prompt with the similarity of its pictures to those that were wanted.

    `similarity` is the mean cosine similarity of all its pictures to all wanted ones. `prompt` is its place among the
    prompts, and `picture` that of the most similar picture among its own.
    """

    text: str
    similarity: float
    prompt: int
    picture: int


def rank_prompts(prompts: Sequence[str], drawn: Sequence[Tensor], wanted: Tensor) -> tuple[RankedPrompt, ...]:
    """The prompts, the best first, as a generated picture is measured (Wen et al. 2023, section 4).

    `drawn` are the unit features (K, F) of the pictures of each prompt, `wanted` (T, F) of those that were wanted.

    Raises PezError for no prompts, and for pictures that are not as many as the prompts.
    """
    if not prompts:
        raise PezError("prompts are missing; connect the texts that the pictures were drawn from.")
    if len(drawn) != len(prompts):
        raise PezError(
            f"images hold the pictures of {len(drawn)} prompts, but prompts hold {len(prompts)} texts; connect both "
            "from the same list."
        )
    ranked = []
    for place, (text, features) in enumerate(zip(prompts, drawn)):
        by_picture = (features @ wanted.T).mean(1)
        ranked.append(RankedPrompt(text, by_picture.mean().item(), place, int(by_picture.argmax())))
    return tuple(sorted(ranked, key=lambda each: -each.similarity))
