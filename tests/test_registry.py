"""pyproject.toml and .comfyignore keep to what the Comfy Registry asks for (docs.comfy.org/registry/specifications)."""

import re
import subprocess
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
VERSION = r"\d+\.\d+\.\d+"
SYSTEMS = ("OS Independent", "Microsoft :: Windows", "POSIX :: Linux", "MacOS")
ACCELERATORS = (
    "GPU :: NVIDIA CUDA",
    "GPU :: AMD ROCm",
    "GPU :: Intel Arc",
    "NPU :: Huawei Ascend",
    "GPU :: Apple Metal",
)
NEEDED = (
    "__init__.py",
    "nodes/",
    "pez_core/",
    "web/",
    "locales/",
    "workflows/",
    "subgraphs/",
    "requirements.txt",
    "LICENSE",
)
NOT_SHIPPED = (".ci/", "benchmarks/", "docs/drawings/", "tests/", "training/")


def test_the_name_is_a_good_one(pyproject):
    name = pyproject["project"]["name"]
    assert re.fullmatch(r"[a-z][a-z0-9]*([-_.][a-z0-9]+)*", name) and len(name) < 100
    assert "comfyui" not in name


def test_the_version_is_the_newest_of_the_changelog(pyproject):
    versions = re.findall(rf"^## \[({VERSION})\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert pyproject["project"]["version"] == versions[0]


def test_systems_and_accelerators_are_those_that_the_registry_knows(pyproject):
    known = {f"Operating System :: {name}" for name in SYSTEMS} | {f"Environment :: {name}" for name in ACCELERATORS}
    assert pyproject["project"]["classifiers"] and set(pyproject["project"]["classifiers"]) <= known


def test_the_oldest_comfyui_is_one_that_was_run(pyproject):
    oldest = pyproject["tool"]["comfy"]["requires-comfyui"].removeprefix(">=")
    assert re.fullmatch(VERSION, oldest)
    assert oldest in (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")


def test_icon_and_banner_have_the_shape_that_is_asked_for(pyproject):
    repository = pyproject["project"]["urls"]["Repository"].replace("github.com", "raw.githubusercontent.com")
    sizes = {}
    for name in ("Icon", "Banner"):
        address = pyproject["tool"]["comfy"][name]
        assert address.startswith(f"{repository}/main/")
        sizes[name] = Image.open(ROOT / address.removeprefix(f"{repository}/main/")).size
    assert sizes["Icon"][0] == sizes["Icon"][1] <= 400
    assert sizes["Banner"][0] * 9 == sizes["Banner"][1] * 21


def test_the_registry_ships_what_runs_and_no_more():
    def listed(*arguments):
        command = ["git", "ls-files", *arguments]
        return set(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines())

    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: the registry ships what git tracks")
    left_out = listed("--cached", "--ignored", "--exclude-from=.comfyignore")
    assert not [name for name in left_out if name.startswith(NEEDED)]
    assert not [name for name in listed() - left_out if name.startswith(NOT_SHIPPED)]
