"""Time and memory of a search step against the published loop, on CLIP's text towers with random weights.

    python -m benchmarks.speed [--quick] [--device cuda --dtype bfloat16] [--json FILE]
    python -m benchmarks.speed --comfyui FOLDER [--quick] [--device cuda] [--dtype float16] [--json FILE]

With `--comfyui` the search runs on ComfyUI's own classes, as a node does it, and the published loop on open_clip's
towers of the same shapes, in the type that the node takes products in; for SDXL on one tower after the other.

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

from benchmarks import comfyui, machine
from benchmarks.reference import reference_pez
from pez_core import Encoder, Match, SearchSettings
from pez_core.device.choice import best_device
from pez_core.encoders.clip_vocabulary import ClipVocabulary
from pez_core.encoders.open_clip import OpenClipTower
from pez_core.feature_judge import FeatureJudge
from pez_core.optimiser.descent import Descent, Iterate
from pez_core.optimiser.projection import Projection

TOWERS = ("ViT-L-14", "ViT-H-14", "ViT-bigG-14")
LENGTHS = (8, 16, 32, 64)
CANDIDATES = (1, 8, 32)
ROUNDS = 3
LARGEST_ON_CPU = 512
STEPS_PER_TIMING = 20
DTYPES = ("float32", "bfloat16", "float16", "float8_e4m3fn")


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
    """An encoder with random weights, and what it is measured with.

    The published loop runs on `texts`, open_clip's towers of the same shapes: one step on each of them in turn.
    """

    name: str
    encoder: Encoder
    encoder_bytes: int
    texts: Sequence[TextTransformer]
    peak: float

    @property
    def device(self) -> torch.device:
        return self.encoder.tower.device

    def targets(self, count: int, width: int) -> torch.Tensor:
        """Random unit features (count, width)."""
        return F.normalize(torch.randn(count, width, device=self.device), dim=-1)

    def ours(self, tokens: int, candidates: int, targets: int) -> Callable[[], object]:
        """A step of the search over the whole vocabulary, as the reference does it; the first call sets it up."""
        settings = SearchSettings(language=0, tokens=tokens, candidates=candidates, token_filter="all")
        tower, vocabulary = self.encoder.tower, self.encoder.vocabulary
        width = sum(text.text_projection.shape[1] for text in self.texts)
        judge = FeatureJudge(self.encoder, Match(self.targets(targets, width)), settings)
        projection = Projection(tower.tables, vocabulary.allowed_ids("all"))
        start = projection.random_ids((candidates, tokens), torch.Generator().manual_seed(0))
        draws = torch.Generator(self.device).manual_seed(0)
        iterate = Iterate(tower.embed(start), settings.learning_rate, settings.weight_decay)
        return Descent(judge, projection, iterate, draws, captured=tower.capturable).step

    def reference(self, tokens: int, targets: int) -> Callable[[], object]:
        """A step of the published loop on each tower."""
        vocabulary = self.encoder.vocabulary
        start = torch.randint(0, vocabulary.start_id, (tokens,)).to(self.device)
        loops = [
            reference_pez(
                text, self.targets(targets, text.text_projection.shape[1]), start, vocabulary.start_id,
                vocabulary.end_id,
            )
            for text in self.texts
        ]  # fmt: skip
        return lambda: [next(steps) for steps in loops]

    def row(self, tokens: int, candidates: int, targets: int = 1, rounds: int = ROUNDS) -> Row:
        """Both sides timed in turn at one size."""
        count = STEPS_PER_TIMING if self.device.type != "cpu" else 1
        first_step = partial(self._first_step, tokens, candidates, targets)
        resident = machine.peak_resident_bytes(first_step)
        allocated = machine.peak_allocated_bytes(first_step, self.device)
        with self.encoder.held():
            step = self.ours(tokens, candidates, targets)
            works = {"ours": _times(count, step), "reference": _times(count, self.reference(tokens, targets))}
            taken = {name: time / count for name, time in machine.in_turn(works, rounds, self.device).items()}
        ratio = taken["reference"] / taken["ours"]
        share = self._operations(tokens, candidates) / taken["ours"] / self.peak
        return Row(
            self.name, self.device.type, tokens, candidates, targets, taken["ours"], taken["ours"] / candidates,
            taken["reference"], ratio, ratio * candidates, share,
            allocated, resident, self.encoder_bytes,
        )  # fmt: skip

    def _first_step(self, tokens: int, candidates: int, targets: int) -> None:
        with self.encoder.held():
            self.ours(tokens, candidates, targets)()

    def _operations(self, tokens: int, candidates: int) -> float:
        """Multiplications and additions in the products with weights that a step cannot do without."""
        matrices = [weight for text in self.texts for weight in text.transformer.parameters() if weight.ndim == 2]
        layers = sum(weight.numel() for weight in matrices)
        table = sum(text.token_embedding.weight.numel() for text in self.texts)
        return 2.0 * (2 * candidates * (tokens + 1) * layers + candidates * tokens * table)


def _no_pictures(pictures: Sequence[torch.Tensor]) -> torch.Tensor:
    raise NotImplementedError("a text tower alone reads no pictures")


def _times(count: int, step: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        for _ in range(count):
            step()

    return run


def random_text(name: str, device: torch.device, dtype: torch.dtype) -> TextTransformer:
    """open_clip's text tower of that name with random weights."""
    config = open_clip.get_model_config(name)
    torch.manual_seed(0)
    text = TextTransformer(output_dim=config["embed_dim"], **config["text_cfg"]).to(device, dtype)
    for table in (text.text_projection, text.positional_embedding, text.token_embedding.weight):
        torch.nn.init.normal_(table, std=0.02)
    return text


def _open_clip_bench(name: str, device: torch.device, dtype: torch.dtype, peak: float) -> Bench:
    text, vocabulary = random_text(name, device, dtype), ClipVocabulary()
    tower = OpenClipTower(text, name, vocabulary.start_id, vocabulary.end_id)
    weights = sum(weight.nbytes for weight in text.parameters())
    return Bench(name, Encoder(tower, vocabulary, _no_pictures), weights, [text], peak)


def _comfyui_bench(name: str, device: torch.device, dtype: torch.dtype, products: torch.dtype, peak: float) -> Bench:
    encoder, weights = comfyui.encoder(name, dtype)
    texts = [random_text(tower, device, products) for tower in comfyui.MODELS[name][-1]]
    return Bench(name, encoder, weights, texts, peak)


def _rows(options: argparse.Namespace, device: torch.device, dtype: torch.dtype, peak: float) -> Iterator[Row]:
    for name in TOWERS[:2] if options.quick else TOWERS:
        bench = _open_clip_bench(name, device, dtype, peak)
        sizes = [(16, 1), (16, 8)] if options.quick else list(itertools.product(LENGTHS, CANDIDATES))
        if device.type == "cpu" and name != TOWERS[0]:
            sizes = [size for size in sizes if size[0] * size[1] <= LARGEST_ON_CPU]
        for tokens, candidates in sizes:
            large = tokens * candidates > 256 and device.type == "cpu"
            yield bench.row(tokens, candidates, rounds=1 if large else ROUNDS)
        if name == TOWERS[0]:
            yield from (bench.row(16, 1, targets) for targets in (16, 256))


def _comfyui_rows(
    options: argparse.Namespace, device: torch.device, products: torch.dtype, peak: float
) -> Iterator[Row]:
    for name in list(comfyui.MODELS)[: 1 if options.quick else None]:
        bench = _comfyui_bench(name, device, getattr(torch, options.dtype), products, peak)
        yield from (bench.row(16, candidates) for candidates in (CANDIDATES[:2] if options.quick else CANDIDATES))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the smaller towers at 16 tokens, 1 and 8 candidates")
    parser.add_argument("--device", default=str(best_device()), help="such as cuda (default %(default)s)")
    parser.add_argument("--dtype", choices=DTYPES, default=DTYPES[0], help="what the weights are stored in")
    parser.add_argument("--comfyui", type=Path, metavar="FOLDER", help="measure the text encoders of this checkout")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    options = parser.parse_args()
    device, products = torch.device(options.device), getattr(torch, options.dtype)
    head = machine.facts(device) | {"dtype": options.dtype}
    if options.comfyui:
        products = comfyui.start(options.comfyui, device)
        head["products"] = str(products).removeprefix("torch.")
    elif options.dtype == "float8_e4m3fn":
        parser.error("float8_e4m3fn is for --comfyui; open_clip does not compute with it.")
    peak = machine.matmul_peak(device, products)
    head["matmul_peak_gflops"] = round(peak / 1e9, 1)
    measured = _comfyui_rows if options.comfyui else _rows
    print(json.dumps(head))
    print("tower           tokens  B  targets   ms/step  ms/cand  ref ms  ×/step  ×/cand-step  of peak  extra memory")
    rows = []
    for row in measured(options, device, products, peak):
        rows.append(row)
        print(
            f"{row.tower:15} {row.tokens:6} {row.candidates:2} {row.targets:8} {row.seconds_per_step * 1e3:9.1f}"
            f" {row.seconds_per_candidate_step * 1e3:8.1f} {row.reference_seconds_per_step * 1e3:7.0f}"
            f" {row.ratio_per_step:7.2f} {row.ratio_per_candidate_step:12.1f} {row.share_of_matmul_peak:8.0%}"
            f" {row.peak_extra_bytes / row.encoder_bytes:8.1%}",
            flush=True,
        )
        if options.json:
            options.json.write_text(json.dumps({**head, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
