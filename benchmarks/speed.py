"""Time and memory of a search step against the published loop, on CLIP's text towers with random weights.

    python -m benchmarks.speed [--quick] [--device cuda --dtype bfloat16] [--json FILE]

Both sides run in this process, in turn, and every ratio is of medians of the same rounds. On a CPU, more than 512
tokens in all candidates are left out for the two larger towers, where a step takes up to a minute.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import open_clip
import torch
import torch.nn.functional as F
from open_clip.transformer import TextTransformer

from benchmarks import machine
from benchmarks.reference import reference_pez
from pez_core import Encoder, Match, SearchSettings
from pez_core.encoders.clip_vocabulary import ClipVocabulary
from pez_core.encoders.open_clip import OpenClipTower
from pez_core.feature_judge import FeatureJudge
from pez_core.optimiser.descent import Descent, Iterate
from pez_core.optimiser.projection import Projection
from pez_core.vocabulary import Vocabulary

TOWERS = ("ViT-L-14", "ViT-H-14", "ViT-bigG-14")
LENGTHS = (8, 16, 32, 64)
CANDIDATES = (1, 8, 32)
ROUNDS = 3
LARGEST_ON_CPU = 512
STEPS_PER_TIMING = {"cpu": 1, "cuda": 20}


@dataclass(frozen=True)
class Row:
    """One size of search; seconds are of one step, ratios are the reference's seconds over ours.

    `peak_extra_bytes` is what a search allocates beyond the weights, `peak_resident_bytes` how much the process
    grew by it (None on a GPU's host).
    """

    tower: str
    device: str
    tokens: int
    candidates: int
    targets: int
    seconds_per_step: float
    seconds_per_candidate_step: float
    reference_seconds_per_step: float
    ratio_per_step: float
    ratio_per_candidate_step: float
    share_of_matmul_peak: float
    peak_extra_bytes: int
    peak_resident_bytes: int | None
    encoder_bytes: int


@dataclass(frozen=True)
class Bench:
    """A tower with random weights, and what it is measured with."""

    name: str
    text: TextTransformer
    tower: OpenClipTower
    vocabulary: Vocabulary
    peak: float

    def targets(self, count: int) -> torch.Tensor:
        """Random unit features (count, F)."""
        width = self.text.text_projection.shape[1]
        return F.normalize(torch.randn(count, width, device=self.tower.device), dim=-1)

    def ours(self, tokens: int, candidates: int, targets: int) -> Callable[[], object]:
        """A step of the search over the whole vocabulary, as the reference does it; the first call sets it up."""
        settings = SearchSettings(tokens=tokens, candidates=candidates, token_filter="all")
        tower, device = self.tower, self.tower.device
        encoder = Encoder(tower, self.vocabulary, _no_pictures)
        judge = FeatureJudge(encoder, Match(self.targets(targets)), settings)
        projection = Projection(tower.tables, self.vocabulary.allowed_ids("all"))
        start = projection.random_ids((candidates, tokens), torch.Generator().manual_seed(0))
        draws = torch.Generator(device).manual_seed(0)
        iterate = Iterate(tower.embed(start), settings.learning_rate, settings.weight_decay)
        return Descent(judge, projection, iterate, draws, captured=tower.capturable).step

    def reference(self, tokens: int, targets: int) -> Callable[[], object]:
        """A step of the published loop."""
        start = torch.randint(0, self.vocabulary.start_id, (tokens,))
        ids = self.vocabulary.start_id, self.vocabulary.end_id
        steps = reference_pez(self.text, self.targets(targets), start.to(self.tower.device), *ids)
        return lambda: next(steps)

    def row(self, tokens: int, candidates: int, targets: int = 1, rounds: int = ROUNDS) -> Row:
        """Both sides timed in turn at one size."""
        device = self.tower.device
        count = STEPS_PER_TIMING[device.type]
        first_step = partial(self._first_step, tokens, candidates, targets)
        resident = machine.peak_resident_bytes(first_step)
        allocated = machine.peak_allocated_bytes(first_step, device)
        step = self.ours(tokens, candidates, targets)
        works = {"ours": _times(count, step), "reference": _times(count, self.reference(tokens, targets))}
        taken = {name: time / count for name, time in machine.in_turn(works, rounds, device).items()}
        ratio = taken["reference"] / taken["ours"]
        share = self._operations(tokens, candidates) / taken["ours"] / self.peak
        return Row(
            self.name, device.type, tokens, candidates, targets, taken["ours"], taken["ours"] / candidates,
            taken["reference"], ratio, ratio * candidates, share,
            allocated, resident, sum(weight.nbytes for weight in self.text.parameters()),
        )  # fmt: skip

    def _first_step(self, tokens: int, candidates: int, targets: int) -> None:
        self.ours(tokens, candidates, targets)()

    def _operations(self, tokens: int, candidates: int) -> float:
        """Multiplications and additions in the products with weights that a step cannot do without."""
        layers = sum(weight.numel() for weight in self.text.transformer.parameters() if weight.ndim == 2)
        rows = candidates * (tokens + 1)
        return 2.0 * (2 * rows * layers + candidates * tokens * self.tower.embeddings.numel())


def _no_pictures(pictures: Sequence[torch.Tensor]) -> torch.Tensor:
    raise NotImplementedError("a text tower alone reads no pictures")


def _times(count: int, step: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        for _ in range(count):
            step()

    return run


def _bench(name: str, device: torch.device, dtype: torch.dtype, peak: float) -> Bench:
    config = open_clip.get_model_config(name)
    torch.manual_seed(0)
    text = TextTransformer(output_dim=config["embed_dim"], **config["text_cfg"]).to(device, dtype)
    for table in (text.text_projection, text.positional_embedding, text.token_embedding.weight):
        torch.nn.init.normal_(table, std=0.02)
    vocabulary = ClipVocabulary()
    tower = OpenClipTower(text, name, vocabulary.start_id, vocabulary.end_id)
    return Bench(name, text, tower, vocabulary, peak)


def _rows(options: argparse.Namespace, device: torch.device, dtype: torch.dtype, peak: float) -> Iterator[Row]:
    for name in TOWERS[:2] if options.quick else TOWERS:
        bench = _bench(name, device, dtype, peak)
        sizes = [(16, 1), (16, 8)] if options.quick else list(itertools.product(LENGTHS, CANDIDATES))
        if device.type == "cpu" and name != TOWERS[0]:
            sizes = [size for size in sizes if size[0] * size[1] <= LARGEST_ON_CPU]
        for tokens, candidates in sizes:
            large = tokens * candidates > 256 and device.type == "cpu"
            yield bench.row(tokens, candidates, rounds=1 if large else ROUNDS)
        if name == TOWERS[0]:
            yield from (bench.row(16, 1, targets) for targets in (16, 256))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two towers at 16 tokens, 1 and 8 candidates")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    options = parser.parse_args()
    device, dtype = torch.device(options.device), getattr(torch, options.dtype)
    peak = machine.matmul_peak(device, dtype)
    head = machine.facts(device) | {"dtype": options.dtype, "matmul_peak_gflops": round(peak / 1e9, 1)}
    print(json.dumps(head))
    print("tower        tokens  B  targets   ms/step  ms/cand  ref ms  ×/step  ×/cand-step  of peak  extra memory")
    rows = []
    for row in _rows(options, device, dtype, peak):
        rows.append(row)
        print(
            f"{row.tower:12} {row.tokens:6} {row.candidates:2} {row.targets:8} {row.seconds_per_step * 1e3:9.1f}"
            f" {row.seconds_per_candidate_step * 1e3:8.1f} {row.reference_seconds_per_step * 1e3:7.0f}"
            f" {row.ratio_per_step:7.2f} {row.ratio_per_candidate_step:12.1f} {row.share_of_matmul_peak:8.0%}"
            f" {row.peak_extra_bytes / row.encoder_bytes:8.1%}",
            flush=True,
        )
        if options.json:
            options.json.write_text(json.dumps({**head, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
