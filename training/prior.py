"""Count the embedded prior: a trigram model of CLIP's tokens, from openly licensed English.

    apt-get install wordnet-base
    python -m training.prior --packages node_modules --wordnet /usr/share/wordnet --out pez_core/embedded

It reads WordNet's words, definitions and examples, and the names and keywords of the drawings that the embedded CLIP
was trained on; not the sentences that their captions are made by. A seeded share of the definitions is held out, and
its perplexity is printed. Takes two minutes.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from pez_core.priors.ngrams import FINENESS, NGrams
from training.captions import encode, tokenizer
from training.drawings import concepts_of

SEED, HELD_OUT_SHARE = 6, 0.02
END, START, SIZE = 49407, 49406, 49408
NAME_WEIGHT = 64
PHRASES, LONGEST_PHRASE = 4096, 6
FILE, SCORES = "prior.safetensors", "prior_scores.json"
PARTS = ("noun", "verb", "adj", "adv")

Text = tuple[int, ...]
Sides = tuple[list[Text], list[Text]]


def wordnet(folder: Path) -> Iterator[tuple[list[str], list[str]]]:
    """The words of each sense, and its definitions and examples."""
    for part in PARTS:
        for line in (folder / f"data.{part}").read_text(encoding="utf-8").splitlines():
            if line.startswith("  "):
                continue
            facts, gloss = line.split(" | ", 1)
            fields = facts.split()
            words = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
            plain = [re.sub(r"\(\w+\)$", "", word).replace("_", " ") for word in words]
            sayings = [saying.strip(' ";') for saying in re.split(r";\s+(?=\")|;\s+", gloss)]
            yield plain, [re.sub(r"^\([^)]*\)\s*", "", saying) for saying in sayings if saying]


def texts(wordnet_folder: Path, packages: Path) -> Sides:
    """Training texts and held-out ones, as ids."""
    draw, seen, held_out = random.Random(SEED), [], []
    for words, sayings in wordnet(wordnet_folder):
        seen += [encode(word) for word in words]
        side = held_out if draw.random() < HELD_OUT_SHARE else seen
        side += [encode(saying) for saying in sayings]
    concepts = [concept for concept in concepts_of(packages) if not concept.held_out]
    seen += [encode(concept.name) for concept in concepts for _ in range(NAME_WEIGHT)]
    seen += [encode(keyword) for concept in concepts for keyword in concept.keywords]
    return [text for text in seen if text], [text for text in held_out if text]


def grams(sequences: list[Text], length: int) -> tuple[np.ndarray, np.ndarray]:
    """The distinct n-grams of texts with their start and end, ascending, and how often each is there.

    An n-gram is one number: its tokens as digits, of which the first counts most.
    """
    flat = np.concatenate([[START] * (length - 1) + [*ids, END] for ids in sequences]).astype(np.int64)
    keys = sum(flat[n : len(flat) - length + 1 + n] * SIZE ** (length - 1 - n) for n in range(length))
    across = sum(flat[n : len(flat) - length + 1 + n] == END for n in range(length - 1)).astype(bool)
    return np.unique(keys[~across], return_counts=True)


def continuations(keys: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """The shorter n-grams that n-grams end with, and how many different tokens stand before each of them."""
    return np.unique(keys % SIZE ** (length - 1), return_counts=True)


def discounts(times: np.ndarray) -> np.ndarray:
    """What is taken off counts of 0, 1, 2 and 3 or more (Chen and Goodman 1999, equation 26)."""
    n = [np.sum(times == k) for k in range(1, 5)]
    base = n[0] / (n[0] + 2 * n[1])
    return np.array([0.0, *(max(0.0, k - (k + 1) * base * n[k] / n[k - 1]) for k in (1, 2, 3))])


def interpolated(keys: np.ndarray, times: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """The probability of each n-gram's last token after the others; `lower` are those after one token fewer."""
    off = discounts(times)[np.minimum(times, 3)]
    _, context = np.unique(keys // SIZE, return_inverse=True)
    total, left = np.bincount(context, times), np.bincount(context, off)
    return (times - off + left[context] * lower) / total[context]


@dataclass(frozen=True)
class Order:
    """The n-grams of one length that are kept: their probabilities, and the same after one token fewer."""

    keys: np.ndarray
    likely: np.ndarray
    lower: np.ndarray

    def tensors(self, contexts: np.ndarray, prefix: str) -> dict[str, torch.Tensor]:
        """As `NGrams` keeps them, for contexts in ascending order."""
        of = np.searchsorted(contexts, self.keys // SIZE)
        missing = [np.bincount(of, values, minlength=len(contexts)) for values in (self.likely, self.lower)]
        backoff = (1 - missing[0]).clip(1e-9) / (1 - missing[1]).clip(1e-9)
        return {
            f"{prefix}_counts": torch.from_numpy(np.bincount(of, minlength=len(contexts)).astype(np.uint16)),
            f"{prefix}_tokens": torch.from_numpy((self.keys % SIZE).astype(np.uint16)),
            f"{prefix}_surprises": surprises(self.likely),
            f"{prefix}_backoffs": surprises(backoff),
        }


def surprises(likely: np.ndarray) -> torch.Tensor:
    return torch.from_numpy((-np.log(likely) * FINENESS).round().clip(0, 255).astype(np.uint8))


def count(sequences: list[Text]) -> NGrams:
    """The smoothed model of texts."""
    triples, triple_times = grams(sequences, 3)
    pairs, pair_times = continuations(triples, 3)
    raw, raw_times = grams(sequences, 2)
    starts = pairs // SIZE == START  # a start has nothing before it that could differ
    pair_times[starts] = raw_times[np.searchsorted(raw, pairs[starts])]
    tokens, token_times = continuations(pairs, 2)

    unigram = np.ones(SIZE)
    unigram[tokens] += token_times
    unigram /= unigram.sum()
    pair_lower = unigram[pairs % SIZE]
    pair_likely = interpolated(pairs, pair_times, pair_lower)
    triple_lower = pair_likely[np.searchsorted(pairs, triples % SIZE**2)]
    triple_likely = interpolated(triples, triple_times, triple_lower)
    kept = triples // SIZE != START * SIZE + START
    none = torch.empty(0, dtype=torch.uint16)
    model = NGrams(
        surprises(unigram),
        **Order(pairs, pair_likely, pair_lower).tensors(np.arange(SIZE), "pair"),
        **Order(triples[kept], triple_likely[kept], triple_lower[kept]).tensors(pairs, "triple"),
        phrase_lengths=none,
        phrase_tokens=none,
    )
    likely = likeliest(model, sequences)
    return replace(
        model,
        phrase_lengths=torch.tensor([len(text) for text in likely], dtype=torch.uint16),
        phrase_tokens=torch.tensor([token for text in likely for token in text], dtype=torch.uint16),
    )


def likeliest(model: NGrams, sequences: list[Text]) -> list[Text]:
    """The `PHRASES` likeliest short texts of plain words, the likeliest first."""
    short = sorted({text for text in sequences if len(text) <= LONGEST_PHRASE})
    plain = [text for text in short if re.fullmatch("[a-z ]+", tokenizer.decode(text).strip())]
    lengths = torch.tensor([len(text) + 1 for text in plain])
    order = (model.surprise(plain) * lengths).argsort(stable=True)[:PHRASES]
    return [plain[place] for place in order.tolist()]


def perplexity(prior: NGrams, held_out: list[Text]) -> float:
    """e to the mean surprise at a token or an end of held-out texts."""
    tokens = torch.tensor([len(text) + 1 for text in held_out])
    return float((prior.surprise(held_out) * tokens).sum().div(tokens.sum()).exp())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.prior", description=__doc__.splitlines()[0])
    parser.add_argument("--packages", type=Path, required=True, help="folder with the npm packages")
    parser.add_argument("--wordnet", type=Path, required=True, help="folder with WordNet's files")
    parser.add_argument("--out", type=Path, required=True, help="folder for the prior and its score")
    options = parser.parse_args()
    seen, held_out = texts(options.wordnet, options.packages)
    prior = count(seen)
    scores = {
        "texts": len(seen), "tokens": sum(map(len, seen)), "pairs": len(prior.pair_tokens),
        "triples": len(prior.triple_tokens), "held_out_texts": len(held_out),
        "perplexity": round(perplexity(prior, held_out), 1),
    }  # fmt: skip
    save_file(asdict(prior), options.out / FILE)
    (options.out / SCORES).write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(scores), (options.out / FILE).stat().st_size)


if __name__ == "__main__":
    main()
