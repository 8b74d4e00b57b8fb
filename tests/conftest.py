"""Parts that many tests share: the embedded model, and the pictures with what is true of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import hypothesis
import pytest
import torch

from pez_core import Encoder, load_encoder, open_pictures

DATA = Path(__file__).parent / "data"
ROOT = Path(__file__).parents[1]

# A machine that is busy with other work is no fault of what is tested.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")


class RootAsFolder:
    """The root's __init__.py is for ComfyUI alone: pytest would import it as the package that holds the tests."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_collect_directory(self, path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        return pytest.Dir.from_parent(parent, path=path) if path == ROOT else None


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(RootAsFolder())


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
def model_folder() -> Path:
    """A small language model that learned a language of a few words, in the layout of transformers."""
    return DATA / "tiny-gpt2"
