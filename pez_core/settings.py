"""What people may set: what every search has, and what one on CLIP has besides."""

import math
from dataclasses import dataclass, fields
from typing import Any

from .errors import PezError

MOST_ROUNDS_PER_STEP = 1000
BEFORE_WORDS = 2


@dataclass(frozen=True)
class Settings:
    """What a search for pictures and one for language models are both told.

    `tokens` is the length of what is learned. `candidates` searches take `steps` side by side, from random tokens drawn
    by `seed`. Only tokens that `token_filter` admits are used, and no text that holds a phrase of `blocklist` is
    returned: whole words, in any case, across tokens too. `time_budget` is in seconds (None: no limit).

    Raises PezError for values that no search can use.
    """

    tokens: int
    steps: int
    candidates: int
    seed: int
    learning_rate: float
    weight_decay: float
    token_filter: str
    blocklist: tuple[str, ...]
    time_budget: float | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocklist", tuple(self.blocklist))
        self._at_least_one("tokens", "steps", "candidates")
        self._require(0 <= self.seed < 2**64, "seed", "0 to 2**64 - 1")
        usual = {field.name: field.default for field in fields(self)}
        remedy = f"more than 0, such as {usual['learning_rate']:g}"
        self._require(0 < self.learning_rate < math.inf, "learning_rate", remedy)
        self._require(0 <= self.weight_decay < math.inf, "weight_decay", "0 or more")
        if self.time_budget is not None:
            self._require(0 < self.time_budget < math.inf, "time_budget", "a number of seconds above 0, or none")

    def _at_least_one(self, *names: str) -> None:
        for name in names:
            self._require(getattr(self, name) >= 1, name, "1 or more")

    def _require(self, fits: bool, name: str, remedy: str) -> None:
        if not fits:
            value: Any = getattr(self, name)
            raise PezError(f"{name.replace('_', ' ')} is {value}; choose {remedy}.")


@dataclass(frozen=True)
class SearchSettings(Settings):
    """Settings of a search on CLIP; learning rate and weight decay are the published ones (Wen et al. 2023, section 4).

    `tokens` do not count `prefix` and `suffix`, which stand around them unchanged. Where the token filter admits more
    than words, a fragment must be nearer than a word by `word_preference`, a cosine. After the descent `refinement`
    rounds for each step swap tokens of the best prompt. `batch` targets are drawn per step (None: all).

    `language` is how much language counts. At 0 the search is PEZ's descent and refinement; above, the text is decoded
    (`guided/`), and steps, candidates, refinement and batch do not matter. Benchmarks measure 1; more gives
    likelier words.
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
    language: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch is not None:
            self._at_least_one("batch")
        most = MOST_ROUNDS_PER_STEP
        self._require(0 <= self.refinement <= most, "refinement", f"0 to {most} rounds per step")
        self._require(0 <= self.word_preference < math.inf, "word_preference", "0 or more, such as 0.1")
        self._require(0 <= self.language < math.inf, "language", "0 for PEZ alone, or more, such as 1")

    @property
    def rounds(self) -> int:
        """How many rounds of refinement follow the steps."""
        return round(self.refinement * self.steps)

    @property
    def total_steps(self) -> int:
        """What progress counts to: steps and rounds together, or the words of a decoded text and what precedes them."""
        if self.language:
            return self.tokens + BEFORE_WORDS
        return self.steps + self.rounds
