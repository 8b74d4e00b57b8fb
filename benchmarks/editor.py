"""What showing a search on its node costs: the same search with and without the messages to the editor, in turn.

    COMFYUI_PATH=ComfyUI python -m benchmarks.editor [--rounds N]

Runs on the embedded model, whose steps are the shortest that there are, in this process with ComfyUI's server object.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import importlib.util
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from benchmarks import machine
from benchmarks.quality import pictures_and_encoder

ROOT = Path(__file__).parents[1]
CPU = torch.device("cpu")


def reporting(comfyui: Path) -> Any:
    """The pack's `nodes.comfy.progress`, imported as ComfyUI imports it, with a server to speak to."""
    sys.argv[1:] = ["--cpu"]
    sys.path.insert(0, str(comfyui))
    import comfy.options

    comfy.options.enable_args_parsing()
    importlib.import_module("utils.extra_config")  # before ComfyUI's folder "comfy" brings another module "utils"
    importlib.import_module("server").PromptServer(asyncio.new_event_loop())
    spec = importlib.util.spec_from_file_location(
        "comfyui_pez", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
    )
    assert spec and spec.loader
    pack = importlib.util.module_from_spec(spec)
    sys.modules["comfyui_pez"] = pack
    spec.loader.exec_module(pack)
    return importlib.import_module("comfyui_pez.nodes.comfy.progress")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.editor", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often each is timed (default 5)")
    options = parser.parse_args()
    print(json.dumps(machine.facts(CPU)))
    progress = reporting(Path(os.environ.get("COMFYUI_PATH") or Path.home() / "ComfyUI"))
    from pez_core import SearchSettings, invert

    encoder, pictures = pictures_and_encoder()
    settings = SearchSettings(tokens=8, steps=100, candidates=4)
    hidden = SimpleNamespace(unique_id="1", extra_pnginfo=None)
    target = pictures.features[:1]
    taken = machine.in_turn(
        {
            "silent": lambda: invert(encoder, target, settings),
            "shown": lambda: invert(encoder, target, settings, on_step=progress.on_search_step(settings, hidden)),
        },
        options.rounds,
        CPU,
    )
    print(f"silent {taken['silent']:.3f} s, shown {taken['shown']:.3f} s: ratio {taken['shown'] / taken['silent']:.3f}")


if __name__ == "__main__":
    main()
