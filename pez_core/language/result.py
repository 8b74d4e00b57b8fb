"""What learning a prompt for classification gives."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace

from torch import Tensor

from .settings import FitSettings


@dataclass(frozen=True)
class Ranked:
    """A prompt on the validation data: accuracy (0 to 1) and mean cross-entropy of the classes."""

    text: str
    accuracy: float
    loss: float


@dataclass(frozen=True)
class ClassificationResult:
    """A learned prompt: its text, its accuracy on the validation data, and the runners-up, best first.

    `soft` (M, D) is what the method without a projection learned; its text is empty. `validated_on` is the number of
    validation texts; `cut` training texts were too long.
    """

    text: str
    accuracy: float
    ranked: tuple[Ranked, ...]
    model: str
    template: str
    verbalizer: str
    settings: FitSettings
    steps: int
    cut: int = 0
    history: tuple[float, ...] = field(default=(), repr=False)
    soft: Tensor | None = field(default=None, repr=False)
    validated_on: int = 0

    def to_json(self) -> str:
        """Everything but the soft prompt, as one line."""
        return json.dumps(asdict(replace(self, soft=None)), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> ClassificationResult:
        """The result that `to_json` wrote."""
        fields = json.loads(text)
        fields["settings"] = FitSettings(**fields["settings"])
        fields["ranked"] = tuple(Ranked(**ranked) for ranked in fields["ranked"])
        return cls(**{**fields, "history": tuple(fields["history"])})

    def table(self) -> str:
        """The best prompts, a line each: accuracy, loss, text."""
        lines = [f"{ranked.accuracy:8.3f}  {ranked.loss:6.3f}  {ranked.text}" for ranked in self.ranked]
        return "\n".join(["accuracy    loss  prompt", *lines])
