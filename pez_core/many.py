"""Many searches side by side."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from .encoders.encoder import Encoder
from .encoders.remembering import remembering
from .hard_prompt import HardPrompt
from .priors import Prior
from .settings import SearchSettings
from .tasks import invert

Given = TypeVar("Given")
Found = TypeVar("Found")

MEMORY = 256 << 20


def invert_many(
    encoder: Encoder,
    pictures: Iterable[Tensor],
    settings: SearchSettings = SearchSettings(),
    prior: Prior | None = None,
    memory: int = MEMORY,
) -> Iterator[HardPrompt]:
    """Words for each of many pictures, in their order, as `invert` finds them; each is unit features (T, F).

    Texts that several pictures ask for are read once, as long as their features are among the latest in `memory`
    bytes. Pictures are taken as the searches need them.
    """
    search = partial(invert, remembering(encoder, memory), settings=settings, prior=prior)
    return side_by_side(search, pictures, searches_together(encoder))


def searches_together(encoder: Encoder) -> int:
    """How many searches to run at once: one for each core of the CPU."""
    return torch.get_num_threads() if encoder.tower.device.type == "cpu" else 1


def side_by_side(search: Callable[[Given], Found], given: Iterable[Given], together: int) -> Iterator[Found]:
    """What `search` finds for each, in their order; one that ends makes room for the next.

    On a CPU a search that has a core to itself takes less of it than one that shares its sums with all cores.
    """
    under_way: deque[Future[Found]] = deque()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(together, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for each in given:
                under_way.append(pool.submit(search, each))
                if len(under_way) > together:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
    finally:
        torch.set_num_threads(threads)
