"""Captions for the drawings, true and false, as lists of token ids."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache

from open_clip import SimpleTokenizer

from training.drawings import STYLES, Concept

COLOURS = {
    "red": (200, 40, 45),
    "orange": (240, 140, 40),
    "yellow": (245, 220, 75),
    "green": (60, 160, 75),
    "turquoise": (70, 205, 195),
    "blue": (50, 95, 200),
    "purple": (125, 60, 165),
    "pink": (245, 150, 190),
    "brown": (120, 75, 45),
    "black": (25, 25, 28),
    "grey": (130, 130, 130),
    "white": (245, 245, 245),
}
STYLE_WORDS = {
    "glossy": ("glossy", "shiny", "rendered"),
    "flat": ("flat", "simple", "vector"),
    "stencil": ("stencil", "outline", "monochrome"),
    "cartoon": ("cartoon", "sticker", "comic"),
}
STYLE_NAMES = tuple(STYLES)
COLOUR_NAMES = tuple(COLOURS)
LONGEST = 75

tokenizer = SimpleTokenizer()


@dataclass(frozen=True)
class Caption:
    """Token ids without start and end, and which of the picture's facts they state."""

    ids: tuple[int, ...]
    names_concept: bool
    names_style: bool
    names_colour: bool


@cache
def encode(text: str) -> tuple[int, ...]:
    """CLIP's token ids of a text, without start and end."""
    return tuple(tokenizer.encode(text))


def sentence(name: str, style: str | None = None, colour: str | None = None) -> str:
    """The plain caption of a picture: "a flat drawing of onion on a blue background"."""
    head = f"a {style} drawing of {name}" if style else f"a drawing of {name}"
    return f"{head} on a {colour} background" if colour else head


def sample_caption(
    concept: Concept, style: str, colour: str | None, rng: random.Random, long: bool = False, styled: bool = False
) -> Caption:
    """A true caption: a sentence, a bare name, or a bag of words.

    `long` ones repeat themselves up to 75 tokens; `styled` ones always name the style; without `colour`, none is named.
    """
    names_style, names_colour = styled or rng.random() < 0.85, colour is not None and rng.random() < 0.6
    kind = rng.random()
    if kind < 0.15 and not long and not styled:
        return Caption(encode(concept.name), True, False, False)
    if kind < 0.5 and not long:
        style_word = rng.choice(STYLE_WORDS[style]) if names_style else None
        text = sentence(concept.name, style_word, colour if names_colour else None)
        return Caption(encode(text), True, names_style, names_colour)
    return _bag(concept, style, colour or "", rng, names_style, names_colour, long)


def _bag(
    concept: Concept, style: str, colour: str, rng: random.Random, names_style: bool, names_colour: bool, long: bool
) -> Caption:
    names_concept = rng.random() < 0.85 or not concept.keywords
    target = rng.randint(24, LONGEST) if long else 0
    phrases: list[tuple[int, ...]] = []
    while True:
        keywords = rng.sample(concept.keywords, min(len(concept.keywords), rng.randint(0 if names_concept else 2, 4)))
        words = [concept.name] * names_concept + keywords
        words += [rng.choice(STYLE_WORDS[style])] * names_style
        words += [rng.choice((colour, f"{colour} background"))] * names_colour
        rng.shuffle(words)
        phrases += [encode(word) for word in words]
        ids = tuple(token for phrase in phrases for token in phrase)[:LONGEST]
        if len(ids) >= target:
            return Caption(ids, names_concept, names_style, names_colour)


def true_tokens(concept: Concept, style: str, colour: str) -> set[int]:
    """Every token of every word that is true of the picture."""
    words = (concept.name, *concept.keywords, *STYLE_WORDS[style], colour, "background", "drawing")
    return {token for word in words for token in encode(word)}


def sample_nonsense(
    captions: list[Caption], count: int, vocabulary_size: int, rng: random.Random
) -> list[tuple[int, ...]]:
    """False captions: half are random tokens, half are true captions with most tokens replaced."""
    pool = [token for caption in captions for token in caption.ids]
    return [_random_tokens(rng, vocabulary_size) for _ in range(count // 2)] + [
        _corrupted(rng.choice(captions).ids, pool, vocabulary_size, rng) for _ in range(count - count // 2)
    ]


def _random_tokens(rng: random.Random, vocabulary_size: int) -> tuple[int, ...]:
    return tuple(rng.randrange(vocabulary_size - 2) for _ in range(rng.randint(2, 16)))


def _corrupted(ids: tuple[int, ...], pool: list[int], vocabulary_size: int, rng: random.Random) -> tuple[int, ...]:
    strength = rng.uniform(0.4, 1.0)

    def replace(token: int) -> int:
        if rng.random() > strength:
            return token
        return rng.choice(pool) if rng.random() < 0.6 else rng.randrange(vocabulary_size - 2)

    return tuple(replace(token) for token in ids)
