"""What a search gives."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SearchResult:
    """What a search found: the text, its ids as tokenised again, its similarity, and the best one after each step.

    `history` begins with the first step that had a text which passed and read back. `notes` say what people should know
    of how it went. `alternatives` are the next best texts, as far as they differ.
    """

    text: str
    tokens: tuple[int, ...]
    similarity: float
    history: tuple[float, ...]
    notes: tuple[str, ...]
    alternatives: tuple[str, ...]
