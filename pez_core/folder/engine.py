"""The searches for the pictures of a job, side by side."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from torch import Tensor

from .. import tasks
from ..best import ReadBack
from ..encoders.encoder import Encoder
from ..encoders.pictures import open_picture
from ..errors import PezError
from ..feature_judge import FeatureJudge
from ..hard_prompt import HardPrompt
from ..many import searches_together, side_by_side
from ..objectives import Match
from ..priors import Prior
from ..settings import SearchSettings
from .captions import Wording, existing_caption
from .item import Item, Outcome

INVERT, SCORE, DISTILL, REFINE = TASKS = ("invert", "score", "distill", "refine")


@dataclass(frozen=True)
class Searches:
    """Does a task for each picture, for as many side by side as pays, in their order.

    `distill` leaves captions of at most `settings.tokens` tokens as they are, and does not open the pictures.

    Raises PezError for settings that no picture can be searched with.
    """

    encoder: Encoder
    task: str
    settings: SearchSettings
    prior: Prior | None
    wording: Wording

    def __post_init__(self) -> None:
        if self.task == SCORE:
            return
        if self.task == REFINE and not self.settings.language:
            raise PezError("language is 0, which edits no text; choose more, such as 1.")
        judge = FeatureJudge(self.encoder, Match(self.encoder.encode_text("")), self.settings)
        ReadBack(judge, self.encoder.vocabulary, self.settings)

    def __call__(self, items: Iterable[Item]) -> Iterator[Outcome]:
        return side_by_side(self._outcome, items, searches_together(self.encoder))

    def _outcome(self, item: Item) -> Outcome:
        try:
            return Outcome(item, self._searched(item))
        except PezError as error:
            return Outcome(item, error)

    def _searched(self, item: Item) -> HardPrompt:
        if self.task == INVERT:
            return tasks.invert(self.encoder, self._features(item), self.settings, prior=self.prior)
        caption = self.wording.bare(existing_caption(item))
        if self.task == SCORE:
            return tasks.score(self.encoder, caption, self._features(item))
        if self.task == REFINE:
            return tasks.refine(self.encoder, caption, self._features(item), self.settings, prior=self.prior)
        tokens = tuple(self.encoder.vocabulary.encode(caption))
        if len(tokens) <= self.settings.tokens:
            return HardPrompt(DISTILL, caption, tokens, 1.0, self.encoder.name)
        return tasks.distill(self.encoder, caption, self.settings, prior=self.prior)

    def _features(self, item: Item) -> Tensor:
        file = item.picture if isinstance(item.picture, Path) else BytesIO(item.picture)
        name = str(file) if isinstance(file, Path) else item.key
        return self.encoder.encode_images([open_picture(file, name)])
