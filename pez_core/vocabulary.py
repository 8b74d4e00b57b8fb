"""Token ids and the text they stand for: decoding, encoding, the round trip, and which ids a search may use."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .errors import PezError

if TYPE_CHECKING:
    from open_clip import SimpleTokenizer

Encode = Callable[[str], list[int]]
TOKEN_FILTERS = ("ascii words", "printable", "all")
PROMPT_SYNTAX = frozenset("()\\")


class Vocabulary:
    """CLIP's byte-pair vocabulary of 49,408 ids, as text.

    `encode` turns text into ids without start and end; it is open_clip's tokenizer unless the text will be read by
    another one (ComfyUI's), whose reading is then the one that counts.
    """

    def __init__(self, encode: Encode | None = None) -> None:
        self._tokenizer = clip_tokenizer()
        self._encode = encode or self._tokenizer.encode
        self.size = len(self._tokenizer.decoder)
        self.start_id = self._tokenizer.sot_token_id
        self.end_id = self._tokenizer.eot_token_id

    def encode(self, text: str) -> list[int]:
        """Ids of `text`, without start and end."""
        return list(self._encode(text))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`; bytes that are not UTF-8 become U+FFFD, and a lone word end becomes a space."""
        return " ".join(self._tokenizer.decode(ids).split())

    def survives(self, ids: Sequence[int]) -> bool:
        """Whether ids → text → ids gives the same ids: the round trip."""
        return self.encode(self.decode(ids)) == list(ids)

    def allowed_ids(self, token_filter: str = "ascii words", blocklist: Sequence[str] = ()) -> Tensor:
        """Ids that a search may use, ascending, shape (A,), int64.

        `all` is every id but start and end; `printable` leaves out control characters and broken UTF-8; `ascii words`
        keeps whole words of the letters a to z. No filter admits ComfyUI's prompt syntax, the characters `(`, `)` and
        the backslash. Ids whose text is in `blocklist` are left out, whatever their case; `is_blocked` finds the
        phrases that several ids spell together.

        Raises PezError for an unknown filter and when nothing is left.
        """
        if token_filter not in TOKEN_FILTERS:
            raise PezError(f"token filter {token_filter!r} is unknown; choose one of {', '.join(TOKEN_FILTERS)}.")
        blocked = blocked_phrases(blocklist)
        ids = [token for token in _filtered_ids(token_filter) if not blocked.search(token_text(token))]
        if not ids:
            raise PezError("blocklist leaves no token to choose from; take words out of it or widen the token filter.")
        return torch.tensor(ids)


@lru_cache(maxsize=1)
def clip_tokenizer() -> SimpleTokenizer:
    """open_clip's tokenizer, built once; open_clip takes seconds to import, so not before it is needed."""
    from open_clip import SimpleTokenizer

    return SimpleTokenizer()


@cache
def token_text(token: int) -> str:
    """What one id adds to a text, without the space that ends a word."""
    return str(clip_tokenizer().decode([token])).strip()


def blocked_phrases(blocklist: Sequence[str]) -> re.Pattern[str]:
    """A pattern that finds any phrase of `blocklist` as whole words, in any case and with any white space between."""
    phrases = [r"\s+".join(map(re.escape, phrase.split())) for phrase in blocklist if phrase.strip()]
    either = "|".join(sorted(phrases, key=len, reverse=True))
    return re.compile(rf"(?<!\w)(?:{either})(?!\w)" if phrases else r"(?!)", re.IGNORECASE)


@lru_cache(maxsize=len(TOKEN_FILTERS))
def _filtered_ids(token_filter: str) -> tuple[int, ...]:
    tokenizer = clip_tokenizer()
    special = {tokenizer.sot_token_id, tokenizer.eot_token_id}
    ids = [token for token in tokenizer.decoder if token not in special and not PROMPT_SYNTAX & set(token_text(token))]
    if token_filter == "printable":
        ids = [token for token in ids if _is_printable(token_text(token))]
    if token_filter == "ascii words":
        ids = [token for token in ids if _is_ascii_word(token)]
    return tuple(sorted(ids))


def _is_printable(text: str) -> bool:
    return bool(text) and text.isprintable() and "\ufffd" not in text


def _is_ascii_word(token: int) -> bool:
    piece = clip_tokenizer().decoder[token]
    word = piece.removesuffix("</w>")
    return piece.endswith("</w>") and re.fullmatch("[a-z]+", word) is not None and _encodes_to(word, token)


def _encodes_to(word: str, token: int) -> bool:
    return bool(clip_tokenizer().encode(word) == [token])
