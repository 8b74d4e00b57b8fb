"""What showing a search on its node costs: the same search with and without the messages to the editor, in turn.

    COMFYUI_PATH=ComfyUI python -m benchmarks.editor [--rounds N]

Runs on the embedded model, whose steps are the shortest that there are, in this process with ComfyUI's server object.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
from types import SimpleNamespace

import torch

from benchmarks import machine
from benchmarks.quality import pictures_and_encoder
from pez_core import SearchSettings, invert
from tools.pack import NAME, import_pack

CPU = torch.device("cpu")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.editor", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="how often each is timed (default 5)")
    options = parser.parse_args()
    print(json.dumps(machine.facts(CPU)))
    import_pack()
    progress = importlib.import_module(f"{NAME}.nodes.comfy.progress")
    importlib.import_module("server").PromptServer(asyncio.new_event_loop())
    encoder, pictures = pictures_and_encoder()
    settings = SearchSettings(language=0, tokens=8, steps=100, candidates=4)
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
