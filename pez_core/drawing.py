"""Pictures of the miniature world, drawn from texts by the embedded generator."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from safetensors.torch import load_file
from torch import Tensor

from .encoders.embedded import FOLDER
from .encoders.encoder import Encoder
from .encoders.tower import CausalTower
from .encoders.transformer import read_all
from .generator import FILE, SCALE, SIZE, Generator

STEPS = 20


def load_generator() -> Generator:
    """The embedded generator, in fp32 on the CPU."""
    generator = Generator()
    generator.load_state_dict(load_file(FOLDER / FILE))
    return generator.eval()


@torch.no_grad()
def token_states(encoder: Encoder, rows: Sequence[Sequence[int]], longest: int | None = None) -> Tensor:
    """Normalised token states (N, L + 2, C) of token ids by the embedded encoder, start and end among them.

    They are zero after the end; L is that of the longest text, or `longest`.
    """
    tower = encoder.tower
    assert isinstance(tower, CausalTower)
    length = 2 + (max(map(len, rows)) if longest is None else longest)
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    for place, row in enumerate(rows):
        ids[place, : len(row) + 2] = torch.tensor([tower.start_id, *row, tower.end_id])
    states = tower.final_norm(read_all(tower.blocks, tower.place(tower.embed(ids), 0)))
    ends = torch.tensor([len(row) + 1 for row in rows])
    return states * (torch.arange(length) <= ends[:, None])[..., None]


@torch.no_grad()
def draw(generator: Generator, states: Tensor, noise: Tensor, steps: int = STEPS) -> Tensor:
    """Pictures (N, 64, 64, 3) with values 0 to 1, from token states (N, L, C) and noise (N, 3, 64, 64).

    Euler's method on the flow (Liu et al. 2022), in `steps` of equal size.
    """
    times = torch.linspace(1, 0, steps + 1)
    pictures = noise
    for now, after in pairwise(times.tolist()):
        pictures = pictures + (after - now) * generator(pictures, torch.full((len(noise),), now), states)
    return (pictures / SCALE / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)


def draw_texts(generator: Generator, encoder: Encoder, texts: Sequence[str], seed: int) -> Tensor:
    """A picture (N, 64, 64, 3) of each text, from noise by the seed."""
    draws = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(texts), 3, SIZE, SIZE, generator=draws)
    return draw(generator, token_states(encoder, [encoder.vocabulary.encode(text) for text in texts]), noise)
