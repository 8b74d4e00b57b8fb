"""Texts that are longer than CLIP reads at once."""

from __future__ import annotations

from collections.abc import Sequence

from .tower import MAX_PROMPT_TOKENS
from .vocabulary import Vocabulary

MOST_WORDS = 6


def window_note(vocabulary: Vocabulary, tokens: Sequence[int]) -> str:
    """What becomes of a text of more than 75 tokens; an empty note for a shorter one.

    ComfyUI encodes such a text in windows of 75: samplers get the token states of all of them, but the pooled feature,
    and so every similarity, comes from the first alone.
    """
    if len(tokens) <= MAX_PROMPT_TOKENS:
        return ""
    windows = -(-len(tokens) // MAX_PROMPT_TOKENS)
    lost = vocabulary.decode(tokens[MAX_PROMPT_TOKENS:]).split()
    shown = " ".join(lost[:MOST_WORDS]) + (" …" if len(lost) > MOST_WORDS else "")
    return (
        f"The text takes {windows} windows of {MAX_PROMPT_TOKENS} tokens; similarity and pooled feature count the "
        f"first alone, and lose the last {len(tokens) - MAX_PROMPT_TOKENS} tokens: {shown}"
    )
