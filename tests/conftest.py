"""Parts that many tests share: the embedded model, and the pictures with what is true of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis
import pytest
import torch

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from benchmarks import sheets
from pez_core import Encoder, load_encoder

pytest_plugins = ["folders"]

DATA = Path(__file__).parent / "data"

# A machine that is busy with other work is no fault of what is tested.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", action="store_true", help="write the results of test_recorded.py anew")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell that slow tests were left out, and how to run them."""
    left_out = [item for item in terminalreporter.stats.get("deselected", ()) if item.get_closest_marker("slow")]
    if left_out and terminalreporter.config.option.markexpr == "not slow":
        terminalreporter.write_line(
            f"Left out because they are slow: {len(left_out)}. `python -m pytest -m ''` runs all."
        )


class Pictures(NamedTuple):
    """Pictures, their features (N, F), and for each a dict with concept, keywords, style, caption and tile."""

    features: torch.Tensor
    facts: list[dict]


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    return load_encoder()


@pytest.fixture(scope="session")
def load_pictures(encoder: Encoder) -> Callable[[str], Pictures]:
    """Pictures by the name of their contact sheet in tests/data."""

    def load(name: str) -> Pictures:
        pixels, facts = sheets.read(DATA, name)
        return Pictures(encoder.encode_images(pixels), facts)

    return load


@pytest.fixture(scope="session")
def contents(load_pictures: Callable[[str], Pictures]) -> Pictures:
    """40 pictures of training concepts on backgrounds that training never showed."""
    return load_pictures("contents")


@pytest.fixture(scope="session")
def picture_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The first four pictures of `contents` as files: 00.png to 03.png."""
    folder = tmp_path_factory.mktemp("pictures")
    paths = [folder / f"{number:02d}.png" for number in range(4)]
    for tile, path in zip(sheets.cut(DATA / "contents.png", len(paths)), paths):
        tile.save(path)
    return paths


@pytest.fixture
def picture_file(picture_files: list[Path]) -> Path:
    return picture_files[0]


@pytest.fixture(scope="session")
def model_folder() -> Path:
    """A small language model that learned a language of a few words, in the layout of transformers."""
    return DATA / "tiny-gpt2"


@pytest.fixture(scope="session")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((DATA.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
