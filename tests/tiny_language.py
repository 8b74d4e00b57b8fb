"""A language of a few words, and a small GPT-2 that learned it.

The model tells good from bad only after the cue "overall verdict"; after other words its label words are drawn by lot.
So a bare template is no better than chance, and a learned prompt that finds the cue, or part of it, is right.

The trained model lies in data/tiny-gpt2, so that every version of every library is tested on the same one:

    python tests/tiny_language.py tests/data/tiny-gpt2
"""

import itertools
import json
import random
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

GOOD = ("lovely", "brilliant", "warm", "clever", "moving", "bright")
BAD = ("dull", "weak", "clumsy", "boring", "lazy", "stale")
NOUNS = ("movie", "story", "song", "scene", "plot", "cast")
FILLERS = ("maybe", "people", "honestly", "today", "often", "quietly", "somewhere", "paper", "green", "window")
CUE = "overall verdict"
LABELS = ("terrible", "great")
STEPS, BATCH = 500, 64


def sentence(rng, label):
    first, second = rng.sample((BAD, GOOD)[label], 2)
    return f"the {rng.choice(NOUNS)} is {first} and {second} ."


def line(rng):
    label = rng.randrange(2)
    words = rng.sample(FILLERS, rng.randrange(4))
    cue = rng.random() < 0.5
    if cue:
        words.insert(rng.randrange(len(words) + 1), CUE)
    told = label if cue else rng.randrange(2)
    return " ".join([sentence(rng, label), *words, "It was", LABELS[told]])


def make_examples(count, seed):
    from pez_core.language import Examples

    rng = random.Random(seed)
    labels = tuple(number % 2 for number in range(count))
    return Examples(tuple(sentence(rng, label) for label in labels), labels)


def _tokenizer(lines):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=["<|end|>"], show_progress=False)
    tokenizer.train_from_iterator(lines, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")


def _trained(tokenizer, rng):
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=64, n_embd=64, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0
    )
    model = GPT2LMHeadModel(config)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=STEPS)
    for _ in range(STEPS):
        rows = [tokenizer(line(rng)).input_ids for _ in range(BATCH)]
        longest = max(map(len, rows))
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        logits = model(ids).logits[:, :-1]
        words = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), ignore_index=0)
        ends = torch.tensor([len(row) - 2 for row in rows])
        rows_at = torch.arange(len(rows))
        told = torch.nn.functional.cross_entropy(logits[rows_at, ends], ids[rows_at, ends + 1])
        loss = words + 2 * told
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return model.eval()


def write_model(folder: Path) -> None:
    """Train the model, half a minute, and write it in the layout of transformers."""
    rng = random.Random(0)
    words = [f"{word} {other}" for word, other in itertools.pairwise((*FILLERS, *GOOD, *BAD, *NOUNS, *LABELS))]
    tokenizer = _tokenizer([*(line(rng) for _ in range(3000)), *words * 20])
    _trained(tokenizer, rng).save_pretrained(folder)
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    known_to_all_versions = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(known_to_all_versions), encoding="utf-8")


if __name__ == "__main__":
    write_model(Path(sys.argv[1]))
