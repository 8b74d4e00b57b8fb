"""Openly licensed emoji drawings, read from npm packages and rendered once to small RGBA pictures."""

from __future__ import annotations

import io
import json
import random
import re
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import resvg_py
import torch
from PIL import Image

RENDER_SIZE = 72
HELD_OUT_CONCEPTS = 96
HELD_OUT_SEED = 20
SKIPPED_GROUPS = {None, 2, 9}  # regional indicators, skin-tone swatches, flags

STYLES = {
    "glossy": "fluent-emoji",
    "flat": "fluent-emoji-flat",
    "stencil": "fluent-emoji-high-contrast",
    "cartoon": "noto",
}


@dataclass(frozen=True)
class Concept:
    """One thing that is drawn in every style: its name, and the words that people find it by."""

    name: str
    keywords: tuple[str, ...]
    icon: str
    held_out: bool


@dataclass(frozen=True)
class Drawings:
    """Every concept in every style; `pixels` is uint8 (concepts, styles, 4, size, size), premultiplied by alpha."""

    concepts: list[Concept]
    pixels: torch.Tensor


def load_drawings(packages: Path, cache: Path) -> Drawings:
    """Read `@iconify-json/*` and `emojibase-data` below `packages`, render the drawings, and keep them in `cache`."""
    icon_sets = _icon_sets(packages)
    concepts = _concepts(packages, icon_sets)
    if cache.exists():
        return Drawings(concepts, torch.from_numpy(np.load(cache)))
    svgs = [_svg(icon_sets[style], concept.icon) for concept in concepts for style in STYLES]
    with ProcessPoolExecutor() as pool:
        rendered = list(pool.map(_render, svgs, chunksize=64))
    pixels = np.stack(rendered).reshape(len(concepts), len(STYLES), 4, RENDER_SIZE, RENDER_SIZE)
    np.save(cache, pixels)
    return Drawings(concepts, torch.from_numpy(pixels))


def concepts_of(packages: Path) -> list[Concept]:
    """The concepts alone, without their drawings."""
    return _concepts(packages, _icon_sets(packages))


def _icon_sets(packages: Path) -> dict[str, dict]:
    return {style: _read_json(packages / "@iconify-json" / name / "icons.json") for style, name in STYLES.items()}


def _concepts(packages: Path, icon_sets: dict[str, dict]) -> list[Concept]:
    """Emoji drawn in all styles, without flags, skin tones and the man/woman variants that differ by a few pixels."""
    flat_names = _read_json(packages / "@iconify-json" / STYLES["flat"] / "chars.json")
    found = []
    for entry in _read_json(packages / "emojibase-data" / "en" / "data.json"):
        if entry.get("group") in SKIPPED_GROUPS or _is_variant(entry["label"]):
            continue
        hexcode = entry["hexcode"].lower()
        icon = flat_names.get(hexcode) or flat_names.get(hexcode.replace("-fe0f", ""))
        if icon and all(icon in icons["icons"] for icons in icon_sets.values()):
            found.append((_plain(entry["label"]), tuple(filter(None, map(_plain, entry.get("tags", [])))), icon))
    held_out = set(random.Random(HELD_OUT_SEED).sample(range(len(found)), HELD_OUT_CONCEPTS))
    return [Concept(*fields, held_out=index in held_out) for index, fields in enumerate(found)]


def _is_variant(label: str) -> bool:
    return (bool(re.match(r"(wo)?m[ae]n\b", label)) and label not in {"man", "woman"}) or "facing right" in label


def _plain(label: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"[^\w\s'-]", " ", label.lower().replace("’", "'"))).strip()


def _svg(icons: dict, name: str) -> str:
    icon = icons["icons"][name]
    width, height = icon.get("width", icons.get("width", 16)), icon.get("height", icons.get("height", 16))
    head = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'{head} viewBox="0 0 {width} {height}" width="{width}" height="{height}">{icon["body"]}</svg>'


def _render(svg: str) -> np.ndarray:
    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=RENDER_SIZE, height=RENDER_SIZE))
    rgba = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"), dtype=np.float32)
    rgba = np.array(Image.fromarray(rgba.astype(np.uint8)).resize((RENDER_SIZE, RENDER_SIZE)), dtype=np.float32)
    rgba[..., :3] *= rgba[..., 3:] / 255
    return rgba.round().astype(np.uint8).transpose(2, 0, 1)


def _read_json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))
