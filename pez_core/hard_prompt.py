"""The result of every task."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from .settings import SearchSettings


@dataclass(frozen=True)
class TokenContribution:
    """A token's text, and its contribution: the similarity that is lost when it is left out."""

    text: str
    contribution: float


@dataclass(frozen=True)
class HardPrompt:
    """A prompt in plain text and how well it does.

    `text` is the whole prompt to paste, `tokens` its ids as the tokenizer reads that text, without start and end.
    `similarity` is the cosine similarity of those ids to the target; `history` the best similarity after each step,
    from the first that had a text; where language counts, that of the text as it grew. `settings` is None for results
    that took no search. `pieces` are the tokens with their contributions, and `notes` say what people should know: that
    memory ran short, or that the text takes several windows. `alternatives` are other texts that the search found, the
    best first, which share at most half of their tokens with a better one.
    """

    task: str
    text: str
    tokens: tuple[int, ...]
    similarity: float
    model: str
    settings: SearchSettings | None = None
    history: tuple[float, ...] = field(default=(), repr=False)
    pieces: tuple[TokenContribution, ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()

    @property
    def seed(self) -> int | None:
        return self.settings.seed if self.settings else None

    def to_json(self) -> str:
        return json.dumps({**asdict(self), "seed": self.seed}, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> HardPrompt:
        """The result that `to_json` wrote."""
        fields = json.loads(text)
        del fields["seed"]
        fields["settings"] = fields["settings"] and SearchSettings(**{"language": 0.0, **fields["settings"]})
        fields["pieces"] = [TokenContribution(**piece) for piece in fields["pieces"]]
        tuples = {name: tuple(fields[name]) for name in ("tokens", "history", "pieces", "notes", "alternatives")}
        return cls(**{**fields, **tuples})
