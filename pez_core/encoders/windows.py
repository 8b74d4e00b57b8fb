"""Texts that are longer than a text tower reads at once."""

from collections.abc import Sequence

from .encoder import Encoder

MOST_WORDS = 6


def windows(encoder: Encoder, tokens: Sequence[int]) -> list[Sequence[int]]:
    """The tokens of a text in windows, as ComfyUI encodes it: of 75 tokens for most models."""
    length = encoder.tower.window
    return [tokens[start : start + length] for start in range(0, len(tokens), length)]


def window_note(encoder: Encoder, tokens: Sequence[int]) -> str:
    """What becomes of a text that takes more than one window; an empty note for a shorter one.

    Samplers get the token states of all its windows, but the pooled feature, and so every similarity, comes from the
    first alone.
    """
    first, *others = windows(encoder, tokens) or [[]]
    if not others:
        return ""
    lost = encoder.vocabulary.decode(tokens[len(first) :]).split()
    shown = " ".join(lost[:MOST_WORDS]) + (" …" if len(lost) > MOST_WORDS else "")
    there = f" in {encoder.tower.windowed}" if encoder.tower.windowed else ""
    return (
        f"The text takes {1 + len(others)} windows of {len(first)} tokens{there}; similarity and pooled feature count "
        f"the first alone{there}, and lose the last {len(tokens) - len(first)} tokens: {shown}"
    )
