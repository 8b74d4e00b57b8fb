"""How a text, a learned prompt and a label word stand together."""

import re
from dataclasses import dataclass

from ..errors import PezError

PLACES = re.compile(r"\{(text|prompt|label)\}")


@dataclass(frozen=True)
class Template:
    """A pattern such as "{text} {prompt} It was {label}", which ends with the label.

    Without {prompt} the learned prompt stands right after the text. A text that stands before the prompt is read once
    for all prompts, which is much faster.

    Raises PezError for a pattern without {text}, one that does not end with {label}, and places named twice.
    """

    pattern: str = "{text} {prompt} It was {label}"

    def __post_init__(self) -> None:
        places = PLACES.findall(self.pattern)
        if "text" not in places:
            raise PezError(f"template {self.pattern!r} has no {{text}}; say where the text stands.")
        if not self.pattern.rstrip().endswith("{label}"):
            raise PezError(f"template {self.pattern!r} does not end with {{label}}; put the label word last.")
        if len(places) != len(set(places)):
            raise PezError(f"template {self.pattern!r} names a place twice; name each once.")

    @property
    def _whole(self) -> str:
        pattern = self.pattern.rstrip()
        return pattern if "{prompt}" in pattern else pattern.replace("{text}", "{text} {prompt}", 1)

    def fill(self, text: str, prompt: str) -> str:
        """All that stands before the label word, as one text."""
        before, _, after = self._whole.removesuffix("{label}").partition("{prompt}")
        if not prompt and (not after or after[:1].isspace()):
            before = before.rstrip()
        return (before + prompt + after).replace("{text}", text.strip()).strip()

    def head(self, text: str) -> str:
        """What stands before the prompt, without the space there."""
        return self._whole.partition("{prompt}")[0].replace("{text}", text.strip()).rstrip()

    @property
    def label_space(self) -> str:
        """The space before the label word."""
        whole = self._whole.removesuffix("{label}")
        return whole[len(whole.rstrip()) :]
