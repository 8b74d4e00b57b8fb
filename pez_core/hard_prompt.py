"""The result of every task, and the settings that made it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field

from .errors import PezError
from .tower import MAX_PROMPT_TOKENS

MOST_ROUNDS_PER_STEP = 1000


@dataclass(frozen=True)
class SearchSettings:
    """Settings of a search; learning rate and weight decay are the published ones (Wen et al. 2023, section 4).

    `tokens` is the length of the learned prompt, without `prefix` and `suffix`, which stand around it unchanged.
    Where the token filter admits more than words, a fragment must be nearer than a word by `word_preference`, a cosine.
    `candidates` searches take `steps` side by side; then `refinement` rounds for each step swap tokens of the best one.
    `batch` targets are drawn per step (None: all). `time_budget` is in seconds (None: no limit).

    Raises PezError for values that no search can use.
    """

    tokens: int = 8
    steps: int = 1000
    candidates: int = 8
    refinement: float = 0.2
    seed: int = 0
    learning_rate: float = 0.1
    weight_decay: float = 0.1
    token_filter: str = "ascii words"
    word_preference: float = 0.0
    blocklist: tuple[str, ...] = ()
    prefix: str = ""
    suffix: str = ""
    batch: int | None = None
    time_budget: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.tokens <= MAX_PROMPT_TOKENS:
            raise PezError(f"prompt length is {self.tokens}; choose 1 to {MAX_PROMPT_TOKENS} tokens.")
        for name in ("steps", "candidates", "batch"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise PezError(f"{name} is {value}; choose 1 or more.")
        if not 0 <= self.seed < 2**64:
            raise PezError(f"seed is {self.seed}; choose 0 to 2**64 - 1.")
        if not 0 < self.learning_rate < math.inf:
            raise PezError(f"learning rate is {self.learning_rate}; choose more than 0, such as 0.1.")
        if not 0 <= self.weight_decay < math.inf:
            raise PezError(f"weight decay is {self.weight_decay}; choose 0 or more, such as 0.1.")
        if not 0 <= self.refinement <= MOST_ROUNDS_PER_STEP:
            raise PezError(f"refinement is {self.refinement}; choose 0 to {MOST_ROUNDS_PER_STEP} rounds per step.")
        if not 0 <= self.word_preference < math.inf:
            raise PezError(f"word preference is {self.word_preference}; choose 0 or more, such as 0.1.")
        if self.time_budget is not None and not 0 < self.time_budget < math.inf:
            raise PezError(f"time budget is {self.time_budget} seconds; choose more than 0, or none.")

    @property
    def rounds(self) -> int:
        """How many rounds of refinement follow the steps."""
        return round(self.refinement * self.steps)

    @property
    def total_steps(self) -> int:
        """Steps and rounds together: what progress counts to."""
        return self.steps + self.rounds


@dataclass(frozen=True)
class Piece:
    """A token's text, and its contribution: the similarity lost when it is left out."""

    text: str
    contribution: float


@dataclass(frozen=True)
class HardPrompt:
    """A prompt in plain text and how well it does.

    `text` is the whole prompt to paste, `tokens` its ids as the tokenizer reads that text, without start and end.
    `similarity` is the cosine similarity of those ids to the target; `history` the best similarity after each step,
    from the first that had a text. `settings` is None for results that took no search. `pieces` are the tokens with
    their contributions, and `notes` say what people should know: that memory ran short, or that the text takes several
    windows.
    """

    task: str
    text: str
    tokens: tuple[int, ...]
    similarity: float
    model: str
    settings: SearchSettings | None = None
    history: tuple[float, ...] = field(default=(), repr=False)
    pieces: tuple[Piece, ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = ()

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
        settings = fields.pop("settings")
        if settings:
            settings = SearchSettings(**{**settings, "blocklist": tuple(settings["blocklist"])})
        pieces = tuple(Piece(**piece) for piece in fields.pop("pieces"))
        for name in ("tokens", "history", "notes"):
            fields[name] = tuple(fields[name])
        return cls(**fields, pieces=pieces, settings=settings)
