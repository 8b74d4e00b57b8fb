"""CLIP's vocabulary."""

import re
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any

from ..vocabulary import Vocabulary

Encode = Callable[[str], list[int]]


class ClipVocabulary(Vocabulary):
    """CLIP's byte-pair vocabulary of 49,408 ids.

    Texts are read by open_clip's tokenizer unless another one will read them (ComfyUI's), whose `encode` then counts.
    """

    def __init__(self, encode: Encode | None = None) -> None:
        self._tokenizer = clip_tokenizer()
        self._encode = encode or self._tokenizer.encode
        self.start_id = self._tokenizer.sot_token_id
        self.end_id = self._tokenizer.eot_token_id

    @property
    def texts(self) -> Sequence[str | None]:
        return _clip_texts()

    @property
    def words(self) -> frozenset[int]:
        return _clip_words()

    def encode(self, text: str) -> list[int]:
        return list(self._encode(text))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`; bytes that are not UTF-8 become U+FFFD, and a lone word end becomes a space."""
        return " ".join(self._tokenizer.decode(ids).split())


@lru_cache(maxsize=1)
def clip_tokenizer() -> Any:
    """open_clip's SimpleTokenizer, built once; open_clip takes seconds to import, so not before it is needed."""
    from open_clip import SimpleTokenizer

    return SimpleTokenizer()


@cache
def _clip_texts() -> tuple[str | None, ...]:
    tokenizer = clip_tokenizer()
    special = {tokenizer.sot_token_id, tokenizer.eot_token_id}
    ids = range(len(tokenizer.decoder))
    return tuple(None if token in special else str(tokenizer.decode([token])).strip() for token in ids)


@cache
def _clip_words() -> frozenset[int]:
    tokenizer = clip_tokenizer()
    ended = {token: piece.removesuffix("</w>") for token, piece in tokenizer.decoder.items() if piece.endswith("</w>")}
    return frozenset(
        token for token, word in ended.items() if re.fullmatch("[a-z]+", word) and tokenizer.encode(word) == [token]
    )
