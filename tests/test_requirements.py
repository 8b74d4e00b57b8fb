"""requirements*.txt, which ComfyUI installs, and pyproject.toml, which pip installs, name the same lower bounds."""

from pathlib import Path

import pytest
import transformers

from pez_core import PezError
from pez_core.language import load_language_model
from pez_core.language.loading import LOWEST_TRANSFORMERS

ROOT = Path(__file__).parents[1]


def listed(name):
    return [line for line in (ROOT / name).read_text().splitlines() if not line.startswith("-r ")]


def test_pip_and_comfyui_install_the_same(pyproject):
    project = pyproject["project"]
    assert project["dependencies"] == listed("requirements.txt")
    assert project["optional-dependencies"]["language"] == listed("requirements-language.txt")
    assert set(project["optional-dependencies"]["scale"]) <= set(listed("requirements-dev.txt"))


def test_every_requirement_is_a_lower_bound_that_the_check_of_the_lowest_can_install():
    for line in listed("requirements.txt") + listed("requirements-language.txt"):
        name, _, version = line.partition(">=")
        assert name.replace("_", "").isalnum() and version.replace(".", "").isdigit(), line


def test_a_transformers_below_the_bound_says_so(monkeypatch, model_folder):
    """ComfyUI brings its own transformers, which pip's bounds do not reach."""
    assert "transformers>={}.{}".format(*LOWEST_TRANSFORMERS) in listed("requirements-language.txt")
    monkeypatch.setattr(transformers, "__version__", "4.55.4")
    with pytest.raises(PezError, match=r"^transformers 4\.55\.4 is too old; run pip install --upgrade transformers\.$"):
        load_language_model(model_folder)
