"""Train the judges: small CLIPs of the miniature world that no search climbs and nothing is trained or tuned on.

    python -m training.judges --packages node_modules --work judges --out benchmarks/data/judges [--judge NAME]

A judge stands for somebody who knows every drawing, so it learns the concepts too that are held out from the embedded
model. Checkpoints and the rendered drawings are kept in `--work`; run it again to go on after a break. What `--out`
gets is an open_clip folder for each judge, with its scores on backgrounds that none has seen.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from benchmarks import sheets
from benchmarks.judging import JUDGES as FOLDER
from benchmarks.judging import TRUTH
from pez_core import Encoder
from pez_core.device.choice import best_device
from pez_core.encoders.open_clip import FILES, load_encoder_folder
from pez_core.encoders.tower import unit
from training.captions import COLOUR_NAMES, STYLE_NAMES
from training.drawings import Drawings, load_drawings
from training.evaluate import concept_features, encode_pictures, scores
from training.pictures import SEEN_JITTER, Sample, compose
from training.train import Recipe, Stage, train

SHEETS = FOLDER.parent
DURATION = "Takes half an hour to an hour for each, on one CPU core; run it again to go on after a break."
TRUTH_SEED, DRAWS = 2718, 4
STAGES = (Stage(1800, 2e-3, 1200, SEEN_JITTER, 0.2), Stage(400, 6e-4, 0, SEEN_JITTER, 0.5))
LONGER = Stage(700, 1e-3, 0, SEEN_JITTER, 0.5)
JUDGES = {
    "residual": Recipe(
        features=256,
        vision={"layers": [1, 1, 1, 1], "width": 16},
        text={"width": 64, "heads": 2, "layers": 3},
        seed=3141,
        stages=STAGES,
        every_concept=True,
    ),
    "wide": Recipe(
        features=192,
        vision={"layers": [1, 1, 1, 1], "width": 20},
        text={"width": 48, "heads": 2, "layers": 4},
        seed=5926,
        stages=(*STAGES, LONGER),
        every_concept=True,
    ),
    "final": Recipe(
        features=160,
        vision={"layers": [1, 1, 2, 1], "width": 18},
        text={"width": 48, "heads": 3, "layers": 2},
        seed=5358,
        stages=(*STAGES, Stage(500, 8e-4, 0, SEEN_JITTER, 0.5), LONGER),
        every_concept=True,
    ),
}


def truth(encoder: Encoder, drawings: Drawings, facts: list[dict]) -> dict[str, Tensor]:
    """Features of drawings on `DRAWS` backgrounds like those of training: of every concept, and for each picture, by
    its `facts`, of its concept in every style, and of its drawing on every background."""
    names = [concept.name for concept in drawings.concepts]
    shown = torch.tensor([names.index(fact["concept"]) for fact in facts])
    style = torch.tensor([STYLE_NAMES.index(fact["style"]) for fact in facts])
    generator = torch.Generator().manual_seed(TRUTH_SEED)

    def features(styles: Tensor, colours: Tensor | None) -> Tensor:
        total = torch.zeros(())
        for _ in range(DRAWS):
            drawn = torch.randint(len(COLOUR_NAMES), (len(shown),), generator=generator) if colours is None else colours
            pictures = compose(drawings.pixels, Sample(shown, styles, drawn), generator, SEEN_JITTER)
            total = total + encode_pictures(encoder, pictures)
        return unit(total)

    every = [torch.full_like(shown, number) for number in range(len(COLOUR_NAMES))]
    return {
        "concepts": concept_features(encoder, drawings, list(range(len(names))), DRAWS).half(),
        "styles": torch.stack([features(number, None) for number in every[: len(STYLE_NAMES)]], 1).half(),
        "backgrounds": torch.stack([features(style, number) for number in every], 1).half(),
    }


def make(name: str, drawings: Drawings, work: Path, out: Path, device: str) -> None:
    """Train a judge, or go on with it, and write it with its scores."""
    train(JUDGES[name], drawings, work / name, device)
    (out / name).mkdir(parents=True, exist_ok=True)
    for file in FILES:
        shutil.copy(work / name / file, out / name)
    judge = load_encoder_folder(out / name, "cpu", name)
    names = {
        "names": [concept.name for concept in drawings.concepts],
        "styles": STYLE_NAMES,
        "backgrounds": COLOUR_NAMES,
    }
    save_file(
        truth(judge, drawings, sheets.read(SHEETS, "worth").facts),
        out / name / TRUTH,
        {part: json.dumps(values) for part, values in names.items()},
    )
    found = scores(judge, drawings)
    (out / name / "scores.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(name, json.dumps(found), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m training.judges", description=__doc__.splitlines()[0], epilog=DURATION
    )
    parser.add_argument("--packages", type=Path, required=True, help="node_modules with the npm packages")
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints and the rendered drawings")
    parser.add_argument("--out", type=Path, required=True, help="folder for the finished judges")
    parser.add_argument("--judge", choices=JUDGES, action="append", help="only this one; repeatable (default: all)")
    parser.add_argument("--device", default=str(best_device()))
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    drawings = load_drawings(arguments.packages, arguments.work / "drawings.npy")
    for name in arguments.judge or JUDGES:
        make(name, drawings, arguments.work, arguments.out, arguments.device)


if __name__ == "__main__":
    main()
