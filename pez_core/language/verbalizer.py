"""Which words stand for which class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import PezError


@dataclass(frozen=True)
class Verbalizer:
    """Classes, as the data names them, and the words for each: {"0": ("terrible", "bad"), "1": ("great",)}.

    Raises PezError for fewer than two classes, a class without a word, and a word of two classes.
    """

    words: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        if len(self.words) < 2:
            raise PezError("verbalizer has fewer than two classes; write it as 0=terrible,1=great.")
        for name, words in self.words.items():
            if not words or not all(word.strip() for word in words):
                raise PezError(f"verbalizer has no word for class {name!r}; write it as {name}=word.")
        everything = [word for words in self.words.values() for word in words]
        if len(everything) != len(set(everything)):
            raise PezError("verbalizer has one word for two classes; give each its own.")

    @classmethod
    def parse(cls, text: str) -> Verbalizer:
        """From "0=terrible|bad,1=great". Raises PezError for anything else."""
        pairs = [part.partition("=") for part in text.split(",") if part.strip()]
        if not all(equals for _, equals, _ in pairs):
            raise PezError(f"verbalizer {text!r} is not of the form 0=terrible,1=great; write class=word pairs.")
        names = [name.strip() for name, _, _ in pairs]
        if len(names) != len(set(names)):
            raise PezError(f"verbalizer {text!r} names a class twice; separate its words by | as in 0=terrible|bad.")
        return cls(
            {name: tuple(word.strip() for word in words.split("|")) for name, (_, _, words) in zip(names, pairs)}
        )

    def __str__(self) -> str:
        return ",".join(f"{name}={'|'.join(words)}" for name, words in self.words.items())

    @property
    def classes(self) -> Sequence[str]:
        return tuple(self.words)
