"""A ComfyUI server with this pack, the probe nodes and random CLIP files; skipped where no ComfyUI is found."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from model_files import write_clip_l, write_sd15, write_small_projection, write_vit_h, write_vit_l
from playwright.sync_api import Page
from tiny_language import make_examples

from tools.editor import CHROMIUM, editor
from tools.server import REPOSITORY, Server, comfyui_path

HERE = Path(__file__).parent
NODES_2 = {"canvas": False, "nodes2": True}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, model_folder: Path, picture_files: list[Path]) -> Iterator[Server]:
    checkout = comfyui_path()
    if checkout is None:
        pytest.skip("no ComfyUI: set COMFYUI_PATH, or check it out at ~/ComfyUI")
    if importlib.util.find_spec("aiohttp") is None:
        pytest.skip("ComfyUI's requirements are not installed")
    base = tmp_path_factory.mktemp("comfyui")
    _furnish(base, checkout)
    _furnish_pictures(base, picture_files)
    _furnish_language(base, model_folder)
    running = Server(checkout, base)
    running.post("/settings", {"Comfy.Workflow.ShowMissingModelsWarning": False})  # of models that no test needs
    yield running
    running.stop()


@pytest.fixture(scope="module", params=NODES_2)
def page(server: Server, request: pytest.FixtureRequest) -> Iterator[tuple[Page, list[str]]]:
    """The editor in each of its two renderers, and the list that its console errors go to."""
    if CHROMIUM is None:
        pytest.skip("no Chromium: install one to test in the editor")
    # A new user would get the template browser in front.
    server.post("/settings", {"Comfy.TutorialCompleted": True, "Comfy.VueNodes.Enabled": NODES_2[request.param]})
    with editor(server.url) as opened:
        yield opened


def _furnish(base: Path, checkout: Path) -> None:
    for name in ("custom_nodes", "input", "output", "models/text_encoders", "models/clip_vision", "models/checkpoints"):
        (base / name).mkdir(parents=True)
    (base / "custom_nodes" / "ComfyUI-PEZ").symlink_to(REPOSITORY)
    (base / "custom_nodes" / "probe").symlink_to(HERE / "probe")
    write_clip_l(base / "models/text_encoders/clip_l.safetensors")
    write_clip_l(base / "models/text_encoders/no_projection.safetensors", projection=False)
    write_small_projection(base / "models/text_encoders/small_projection.safetensors")
    write_vit_l(base / "models/clip_vision/vit_l.safetensors")
    write_vit_h(base / "models/clip_vision/vit_h.safetensors")
    shapes = subprocess.run(
        [sys.executable, str(HERE / "sd15_unet.py")],
        env={**os.environ, "PYTHONPATH": str(checkout)},
        capture_output=True,
        check=True,
    )
    write_sd15(base / "models/checkpoints/sd15.safetensors", json.loads(shapes.stdout))
    (base / "models/text_encoders/broken.safetensors").write_bytes(b"\xff" * 100)


def _furnish_pictures(base: Path, picture_files: list[Path]) -> None:
    shutil.copy(picture_files[0], base / "input" / "example.png")
    for picture in picture_files:
        shutil.copy(picture, base / "input")


def _furnish_language(base: Path, model_folder: Path) -> None:
    shutil.copytree(model_folder, base / "models/LLM/tiny-gpt2")
    for name, count in (("sentences", 80), ("few", 4)):
        some = make_examples(count, 1)
        lines = [f"{text}\t{('bad', 'good')[label]}" for text, label in zip(some.texts, some.labels)]
        (base / "input" / f"{name}.tsv").write_text("\n".join(["text\tlabel", *lines]), encoding="utf-8")
