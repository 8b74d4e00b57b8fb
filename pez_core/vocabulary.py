"""Token ids and the text they stand for: decoding, encoding, the round trip, and which ids a search may use."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from .errors import PezError

TOKEN_FILTERS = ("ascii words", "printable", "all")
PROMPT_SYNTAX = frozenset("(){}|/*\\")
EMBEDDING = re.compile(r"embedding:", re.IGNORECASE)
SHORTEST_INFLECTED = 3
LATELY = 4


class Vocabulary(ABC):
    """The ids of a tokenizer, as text."""

    @property
    @abstractmethod
    def texts(self) -> Sequence[str | None]:
        """What each id adds to a text, without the spaces around it; None for ids that are no text, such as an end."""

    @property
    @abstractmethod
    def words(self) -> frozenset[int]:
        """Ids that are whole words of the letters a to z, and that those words encode to."""

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Ids of `text`, without start and end."""

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`; bytes that are not UTF-8 become U+FFFD."""

    def survives(self, ids: Sequence[int]) -> bool:
        """Whether ids → text → ids gives the same ids: the round trip."""
        return self.encode(self.decode(ids)) == list(ids)

    def allowed_ids(self, token_filter: str = "ascii words", blocklist: Sequence[str] = ()) -> Tensor:
        """Ids that a search may use, ascending, shape (A,), int64.

        `all` is every id but start and end; `printable` leaves out control characters and broken UTF-8; `ascii words`
        keeps whole words of the letters a to z. No filter admits the characters of ComfyUI's prompt syntax: of weights
        and their escapes, of dynamic prompts, and of comments. Ids whose text is in `blocklist` are left out, as
        `blocked_phrases` reads it, which also finds the phrases that several ids spell together.

        Raises PezError for an unknown filter and when nothing is left.
        """
        return torch.tensor(self._listed(token_filter, tuple(blocklist)))

    @cached_property
    def _listed(self) -> Callable[[str, tuple[str, ...]], list[int]]:
        """The ids for what was asked for lately."""
        return lru_cache(LATELY)(self._list)

    def _list(self, token_filter: str, blocklist: tuple[str, ...]) -> list[int]:
        if token_filter not in TOKEN_FILTERS:
            raise PezError(f"token filter {token_filter!r} is unknown; choose one of {', '.join(TOKEN_FILTERS)}.")
        blocked = blocked_phrases(blocklist)
        ids = [
            token
            for token, text in enumerate(self.texts)
            if text is not None and self._admits(token_filter, token, text) and not blocked.search(text)
        ]
        if not ids:
            raise PezError("blocklist leaves no token to choose from; take words out of it or widen the token filter.")
        return ids

    def _admits(self, token_filter: str, token: int, text: str) -> bool:
        if PROMPT_SYNTAX & set(text):
            return False
        if token_filter == "ascii words":
            return token in self.words
        return token_filter == "all" or (bool(text) and text.isprintable() and "\ufffd" not in text)


def blocked_phrases(blocklist: Sequence[str]) -> re.Pattern[str]:
    """A pattern that finds any phrase of `blocklist` as whole words, in any case and with any white space between.

    A last word of three letters or more is found in the plural and with 's too: "shark" blocks "sharks", "berry"
    "berries", but neither blocks "sharkskin". (The reference code blocks whatever contains a blocked word.)
    """
    phrases = [
        r"\s+".join([*map(re.escape, first), _inflected(last)])
        for *first, last in (phrase.split() for phrase in blocklist if phrase.strip())
    ]
    return re.compile(rf"(?<!\w)(?:{'|'.join(phrases)})(?!\w)" if phrases else r"(?!)", re.IGNORECASE)


def _inflected(word: str) -> str:
    if len(word) < SHORTEST_INFLECTED or not word[-1].isalpha():
        return re.escape(word)
    if word[-1] in "yY" and word[-2] not in "aeiouAEIOU":
        return rf"{re.escape(word[:-1])}(?:y(?:\s?'\s?s)?|ies)"
    return rf"{re.escape(word)}(?:(?:\s?'\s?)?s|es)?"


def spells_syntax(text: str) -> bool:
    """Whether ComfyUI reads a part of `text` as something else than words: weights, choices, comments, embeddings."""
    return bool(PROMPT_SYNTAX & set(text) or EMBEDDING.search(text))
