"""What people may set when a prompt for classification is learned."""

from dataclasses import dataclass

from ..errors import PezError
from ..settings import Settings
from .methods import METHODS, TEMPLATE_ONLY


@dataclass(frozen=True)
class FitSettings(Settings):
    """How a prompt is learned. The defaults are those that `pez` was measured with.

    `batch` is how many examples a step sees, drawn from `pool` of the training data, each of which is read once.
    `fluency` is λ, the weight of the prompt's own surprise against the task. `learning_rate` is in units of the spread
    of the model's embeddings; `soft` wants less, about 0.3.

    For Python only, and neither on the command line nor in the node: `pool`; `validate_every`, after how many steps the
    prompts at hand are scored on the validation data; `keep`, how many of the best texts stay; `swaps`, how many tokens
    compete for a place in a step of `pez+refine` and `autoprompt`; `weight_decay`.
    """

    method: str = "pez"
    tokens: int = 5
    steps: int = 200
    candidates: int = 1
    batch: int = 16
    pool: int = 512
    fluency: float = 0.0
    validate_every: int = 20
    keep: int = 5
    swaps: int = 8
    seed: int = 0
    learning_rate: float = 2.0
    weight_decay: float = 0.0
    token_filter: str = "ascii words"
    blocklist: tuple[str, ...] = ()
    time_budget: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method not in (*METHODS, TEMPLATE_ONLY):
            raise PezError(f"method {self.method!r} is unknown; choose one of {', '.join((*METHODS, TEMPLATE_ONLY))}.")
        self._at_least_one("batch", "pool", "validate_every", "keep", "swaps")
        self._require(0 <= self.fluency < 1, "fluency", "a weight from 0 to below 1")
