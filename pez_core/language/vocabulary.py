"""The vocabulary of a language model's own tokenizer."""

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from ..vocabulary import Vocabulary

WORD_STARTS = ("\u0120", "\u2581")
PIECE = re.compile("[!-~]+")


class LanguageVocabulary(Vocabulary):
    """Ids of a tokenizer of transformers. A word is one piece that begins with a space, in upper or lower case."""

    def __init__(self, tokenizer: Any, size: int) -> None:
        self._tokenizer, self._size = tokenizer, size

    @cached_property
    def texts(self) -> Sequence[str | None]:
        special = set(self._tokenizer.all_special_ids) | set(self._tokenizer.added_tokens_decoder)
        return [
            None if token in special or piece is None else self._text(token, piece)
            for token, piece in enumerate(self._pieces)
        ]

    @cached_property
    def words(self) -> frozenset[int]:
        starting = {
            token: piece[1:]
            for token, piece in enumerate(self._pieces)
            if piece and piece.startswith(WORD_STARTS) and re.fullmatch("[A-Za-z]+", piece[1:])
        }
        read = self._tokenizer([f"a {word}" for word in starting.values()], add_special_tokens=False).input_ids
        return frozenset(token for token, ids in zip(starting, read) if ids[1:] == [token])

    def encode(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False).input_ids)

    def decode(self, ids: Sequence[int]) -> str:
        text = self._tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return " ".join(text.split())

    @cached_property
    def _pieces(self) -> list[str | None]:
        known = min(self._size, len(self._tokenizer))
        return [*self._tokenizer.convert_ids_to_tokens(list(range(known)))]

    def _text(self, token: int, piece: str) -> str:
        bare = piece.removeprefix(WORD_STARTS[0]).removeprefix(WORD_STARTS[1])
        return bare if PIECE.fullmatch(bare) else str(self._tokenizer.decode([token])).strip()
