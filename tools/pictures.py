"""Draws the nodes of the help pages and the graph of README.md in the real editor, and the thumbnails of the workflows.

    COMFYUI_PATH=ComfyUI python -m tools.pictures [NAME ...]

NAME is a node's id or a workflow's name; without one everything is drawn. What needs no downloads is run first, on the
embedded model, so that its result shows. It takes some minutes, and the pictures are to be looked at.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image
from playwright.sync_api import Page

from tools.editor import editor, open_workflow, queue, wait_for_results
from tools.server import REPOSITORY, Server, comfyui_path
from tools.thumbnails import write

TEXT = "a red rescue helmet with a white cross, shiny, on a pink background"
SOURCES = {"IMAGE": "PEZExamplePicture", "PEZ_ENCODER": "PEZLoadEncoder", "STRING": "PrimitiveString"}
EMPTY = {"nodes": [], "links": [], "version": 0.4}
README_WORKFLOW = "01 Picture to picture (no downloads)"
PANELS = 480  # pixels that the editor's panels may cover at each side

ADD = """([type, values, feeds]) => {
    const { graph } = window.app;
    const node = LiteGraph.createNode(type);
    for (const widget of node.widgets ?? []) widget.value = values[widget.name] ?? widget.value;
    node.setSize([Math.max(node.size[0], 400), node.size[1]]);
    graph.add(node);
    if (feeds) node.connect(0, graph.getNodeById(feeds[0]), feeds[1]);
    return node.id;
}"""
KEEP = """(kept) => {
    const { graph, canvas } = window.app;
    for (const node of [...graph._nodes]) if (!kept.map(String).includes(String(node.id))) graph.remove(node);
    canvas.deselectAll();
    canvas.draw(true, true);  // which measures the nodes
}"""
FRAME = """([margin, panels]) => {
    const { graph, canvas } = window.app;
    const boxes = graph._nodes.map((node) => [...node.getBounding()]);
    const [left, top] = [0, 1].map((axis) => Math.min(...boxes.map((box) => box[axis])) - margin);
    const [right, bottom] = [0, 1].map((axis) => Math.max(...boxes.map((box) => box[axis] + box[axis + 2])) + margin);
    canvas.ds.scale = 1;
    canvas.ds.offset = [panels - left, panels - top];
    canvas.draw(true, true);
    return [right - left, bottom - top];
}"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.pictures", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="a node's id or a workflow's name")
    wanted = parser.parse_args().names
    checkout = comfyui_path()
    if checkout is None:
        sys.exit("no ComfyUI is found; set COMFYUI_PATH to a checkout, or put it at ~/ComfyUI.")
    with TemporaryDirectory() as folder:
        server = Server(checkout, furnished(Path(folder)))
        try:
            server.post("/settings", {"Comfy.TutorialCompleted": True})
            with editor(server.url) as (page, _):
                draw_all(page, server, wanted)
        finally:
            server.stop()


def furnished(base: Path) -> Path:
    """The folder of a server with this pack, and names for the lists of models and data."""
    for name in ("custom_nodes", "input", "models/LLM/gpt2"):
        (base / name).mkdir(parents=True)
    (base / "custom_nodes" / "ComfyUI-PEZ").symlink_to(REPOSITORY)
    for name in ("input/reviews.tsv", "models/LLM/gpt2/config.json", "models/LLM/gpt2/model.safetensors"):
        (base / name).touch()
    return base


def draw_all(page: Page, server: Server, wanted: list[str]) -> None:
    nodes = {name: info for name, info in server.get("/object_info").items() if name.startswith("PEZ")}
    workflows = {path.stem: path for path in sorted((REPOSITORY / "workflows").glob("*.json"))}
    if unknown := set(wanted) - nodes.keys() - workflows.keys():
        sys.exit(f"{', '.join(sorted(unknown))} is neither a node nor a workflow.")
    for name, info in nodes.items():
        if name in wanted or not wanted:
            save(drawn_node(page, server, info), REPOSITORY / "web/docs/images" / f"{name}.png")
    for name, path in workflows.items():
        if name in wanted or not wanted:
            write(name)
            if name == README_WORKFLOW:
                save(drawn_workflow(page, server, path), REPOSITORY / "docs/graph.png")


def drawn_node(page: Page, server: Server, info: dict[str, Any]) -> Image.Image:
    """A new node with its defaults, and with its result where an encoder, a picture and texts are all it needs."""
    inputs = {**info["input"].get("required", {}), **info["input"].get("optional", {})}
    sockets = {name: inputs[name][0] for name in info["input"].get("required", {}) if is_socket(inputs[name])}
    sockets |= {name: kind for name, (kind, *_) in inputs.items() if kind == "PEZ_ENCODER"}
    open_workflow(page, EMPTY)
    node = page.evaluate(ADD, [info["name"], {"text": TEXT, "control_after_generate": "fixed"}, None])
    if info["output_node"] and set(sockets.values()) <= SOURCES.keys():
        texts = iter(TEXT.split(", "))
        for name, kind in sockets.items():
            values = {"value": next(texts)} if kind == "STRING" else {}
            page.evaluate(ADD, [SOURCES[kind], values, [node, name]])
        run(page, server)
    return screenshot(page, [node], margin=8)


def is_socket(spec: list[Any]) -> bool:
    return spec[1].get("forceInput", False) or spec[0] not in ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")


def drawn_workflow(page: Page, server: Server, path: Path) -> Image.Image:
    """A workflow without its note, once it has run."""
    workflow = json.loads(path.read_text(encoding="utf-8"))
    open_workflow(page, workflow)
    run(page, server)
    kept = [node["id"] for node in workflow["nodes"] if node["type"] != "MarkdownNote"]
    return screenshot(page, kept, margin=24)


def run(page: Page, server: Server) -> None:
    wait_for_results(page, server.finish(queue(page), seconds=600))


def screenshot(page: Page, kept: list[int], margin: int) -> Image.Image:
    """These nodes of the open workflow, without the others, at the size that they have in the editor."""
    page.evaluate(KEEP, kept)
    width, height = page.evaluate(FRAME, [margin, PANELS])
    page.set_viewport_size({"width": round(width) + 2 * PANELS, "height": round(height) + 2 * PANELS})
    page.wait_for_timeout(2000)  # pictures on nodes are loaded, and the canvas is drawn at its new size
    clip = {"x": PANELS, "y": PANELS, "width": width, "height": height}
    return Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")


def save(picture: Image.Image, path: Path) -> None:
    picture = picture.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=2)  # enough for the editor, sockets included
    picture.save(path, optimize=True)
    print(f"{path.relative_to(REPOSITORY)}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
