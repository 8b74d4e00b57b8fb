"""A text against pictures, by one model or several side by side."""

from collections.abc import Sequence

from torch import Tensor

from .. import tasks
from ..encoders.encoder import Encoder
from ..hard_prompt import HardPrompt

WIDTH = 14


def score_table(text: str, judges: Sequence[tuple[Encoder, Tensor]]) -> tuple[HardPrompt, str]:
    """The score by the first judge, and a table: similarity to each picture, then the contribution of each token.

    A judge is a model and its unit features (T, F) of the same pictures.

    Raises PezError for an empty text.
    """
    scored = [tasks.score(encoder, text, targets) for encoder, targets in judges]
    by_picture = [(encoder.encode_text(text) @ targets.T)[0].tolist() for encoder, targets in judges]
    lines = [f"{'picture':<{WIDTH}}" + "".join(f"{prompt.model:>{WIDTH}}" for prompt in scored)]
    lines += [_line(str(number), row) for number, row in enumerate(zip(*by_picture), 1)]
    lines.append(_line("mean", [prompt.similarity for prompt in scored]))
    for prompt in scored:
        lines += ["", f"{'token':<{WIDTH}}{prompt.model:>{WIDTH}}"]
        lines += [_line(piece.text, [piece.contribution]) for piece in prompt.pieces]
    lines += scored[0].notes
    return scored[0], "\n".join(lines)


def _line(name: str, values: Sequence[float]) -> str:
    return f"{name:<{WIDTH}}" + "".join(f"{value:>{WIDTH}.3f}" for value in values)
