"""Measure what the embedded generator draws, and show it beside the drawings that it learned.

    python -m training.generated --packages node_modules --cache drawings.npy --scores scores.json
    python -m training.generated --packages node_modules --cache drawings.npy --grid grid.png

Every training concept is drawn in every style from its true caption, on backgrounds and from noise that are drawn by
the seed. The judges name concept and style; the background is the named colour nearest to the picture's corners.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.judging import FINAL, JUDGES, ON_THE_WAY
from pez_core import Encoder, load_encoder
from pez_core.drawing import draw_texts, load_generator
from pez_core.encoders.open_clip import load_encoder_folder
from pez_core.encoders.tower import unit
from pez_core.generator import SCALE, SIZE, Generator
from training.captions import COLOUR_NAMES, COLOURS, STYLE_NAMES, sentence
from training.drawings import Drawings, load_drawings
from training.evaluate import encode_pictures, name_features
from training.generator import canonical, pictures

SEED = 60_000
TOGETHER = 128
CORNER = 3
SHOWN, COLUMNS, GAP = 64, 8, 4


def draw_captions(
    generator: Generator, encoder: Encoder, drawings: Drawings, concepts: Tensor, styles: Tensor, colours: Tensor
) -> Tensor:
    """Pictures (N, 64, 64, 3) of the true captions."""
    texts = [
        sentence(drawings.concepts[concept].name, STYLE_NAMES[style], COLOUR_NAMES[colour])
        for concept, style, colour in zip(concepts.tolist(), styles.tolist(), colours.tolist())
    ]
    return torch.cat(
        [
            draw_texts(generator, encoder, texts[start : start + TOGETHER], SEED + start)
            for start in range(0, len(texts), TOGETHER)
        ]
    )


def scores(
    drawn: Tensor, judge: Encoder, drawings: Drawings, concepts: Tensor, styles: Tensor, colours: Tensor
) -> dict[str, float]:
    """Shares of pictures whose concept comes first and in the first five among all, whose style and background are
    right."""
    names = name_features(judge, drawings)
    features = encode_pictures(judge, drawn.permute(0, 3, 1, 2))
    by_name = features @ unit(names.mean(0)).T
    rank = (by_name > by_name.gather(1, concepts[:, None])).sum(1)
    by_style = torch.einsum("nf,snf->ns", features, names[:, concepts])
    corners = drawn.unfold(1, CORNER, SIZE - CORNER).unfold(2, CORNER, SIZE - CORNER).mean((1, 2, 4, 5))
    named = torch.tensor([COLOURS[name] for name in COLOUR_NAMES]) / 255
    background = torch.cdist(corners, named).argmin(1)
    found = {
        "top-1": rank < 1,
        "top-5": rank < 5,
        "style": by_style.argmax(1) == styles,
        "background": background == colours,
    }
    return {"pictures": len(drawn), **{name: right.float().mean().item() for name, right in found.items()}}


def all_captions(drawings: Drawings) -> tuple[Tensor, Tensor, Tensor]:
    """Every training concept in every style, on a background that is drawn: indices (N,) of the three."""
    known = torch.tensor([place for place, concept in enumerate(drawings.concepts) if not concept.held_out])
    concepts, styles = torch.cartesian_prod(known, torch.arange(len(STYLE_NAMES))).unbind(1)
    draws = torch.Generator().manual_seed(SEED)
    return concepts, styles, torch.randint(len(COLOUR_NAMES), (len(concepts),), generator=draws)


def grid(generator: Generator, encoder: Encoder, drawings: Drawings) -> Image.Image:
    """`SHOWN` pictures of captions that are drawn, and beside each the training drawing that it is nearest to."""
    every = all_captions(drawings)
    draws = torch.Generator().manual_seed(SEED + 1)
    some = torch.randperm(len(every[0]), generator=draws)[:SHOWN]
    concepts, styles, colours = (part[some] for part in every)
    drawn = draw_captions(generator, encoder, drawings, concepts, styles, colours)
    pairs = [torch.cat([one, nearest_drawing(one, drawings)], 1) for one in drawn]
    tiles = [
        np.pad((pair * 255).round().byte().numpy(), ((0, GAP), (0, GAP), (0, 0)), constant_values=255) for pair in pairs
    ]
    rows = [np.concatenate(tiles[start : start + COLUMNS], 1) for start in range(0, len(tiles), COLUMNS)]
    return Image.fromarray(np.concatenate(rows))


def nearest_drawing(picture: Tensor, drawings: Drawings) -> Tensor:
    """The training drawing nearest in pixels to a picture (64, 64, 3), on that picture's background."""
    known = [place for place, concept in enumerate(drawings.concepts) if not concept.held_out]
    background = picture[:CORNER, :CORNER].mean((0, 1))
    best, least = picture, float("inf")
    for style in range(len(STYLE_NAMES)):
        some = canonical(drawings.pixels[known, style])
        style_of_all = torch.full((len(some),), style)
        shown = pictures(some, style_of_all, background.expand(len(some), 3)).permute(0, 2, 3, 1) / SCALE / 2 + 0.5
        distances = (shown - picture).square().mean((1, 2, 3))
        if distances.min().item() < least:
            best, least = shown[int(distances.argmin())], distances.min().item()
    return best


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.generated", description=__doc__.splitlines()[0])
    parser.add_argument("--packages", type=Path, required=True, help="node_modules with the npm packages")
    parser.add_argument("--cache", type=Path, required=True, help="the rendered drawings, made if missing")
    parser.add_argument("--scores", type=Path, help="file for the scores, JSON")
    parser.add_argument("--grid", type=Path, help=f"file for {SHOWN} pictures, each beside the nearest drawing")
    options = parser.parse_args()
    generator, encoder, drawings = load_generator(), load_encoder(), load_drawings(options.packages, options.cache)
    if options.grid:
        grid(generator, encoder, drawings).save(options.grid)
    if options.scores:
        captions = all_captions(drawings)
        drawn = draw_captions(generator, encoder, drawings, *captions)
        judges = [load_encoder_folder(JUDGES / name, "cpu", name) for name in (*ON_THE_WAY, FINAL)]
        found = {judge.name: scores(drawn, judge, drawings, *captions) for judge in judges}
        options.scores.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        print(json.dumps(found))


if __name__ == "__main__":
    main()
