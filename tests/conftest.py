"""Parts that many tests share: the embedded model, and the pictures with what is true of them."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import tiny_language
import torch
import transformers

import benchmarks  # noqa: F401 - before the folder tests/benchmarks can take the name
import pez_core.language  # noqa: F401 - the same for tests/pez_core/language
from pez_core import Encoder, load_encoder, open_pictures

DATA = Path(__file__).parent / "data"


class Pictures(NamedTuple):
    """Pictures, their features (N, F), and for each a dict with concept, keywords, style, caption and file."""

    features: torch.Tensor
    facts: list[dict]


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    return load_encoder()


@pytest.fixture(scope="session")
def load_pictures(encoder: Encoder) -> Callable[[str], Pictures]:
    """Pictures by the name of their folder in tests/data."""

    def load(name: str) -> Pictures:
        facts = json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))
        return Pictures(encoder.encode_images(open_pictures([DATA / fact["file"] for fact in facts])), facts)

    return load


@pytest.fixture(scope="session")
def contents(load_pictures: Callable[[str], Pictures]) -> Pictures:
    """40 pictures of training concepts on backgrounds that training never showed."""
    return load_pictures("contents")


@pytest.fixture
def picture_file() -> Path:
    return DATA / "contents" / "00.png"


@pytest.fixture(scope="session")
def model_folder(pytestconfig: pytest.Config) -> Path:
    """A small language model that learned a language of a few words, in the layout of transformers.

    It takes half a minute to train, so pytest's cache keeps it until its recipe or a library changes.
    """
    recipe = Path(tiny_language.__file__).read_text(encoding="utf-8")
    made_by = hashlib.sha256(f"{torch.__version__} {transformers.__version__} {recipe}".encode()).hexdigest()
    folder = pytestconfig.cache.mkdir(f"language-{made_by[:16]}") / "tiny-gpt2"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=folder.parent) as unfinished:
            tiny_language.write_model(Path(unfinished) / "model")
            try:
                (Path(unfinished) / "model").rename(folder)
            except OSError:
                if not folder.exists():  # else another session was faster
                    raise
    return folder
