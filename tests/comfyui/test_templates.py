"""The first run: the template browser, the pack's own pictures, blueprints, what is hidden, and old workflows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import open_clip
import pytest
from playwright.sync_api import Page

from tools.editor import CHROMIUM, editor, open_workflow, queue
from tools.server import REPOSITORY, Server

WORKFLOWS = sorted((REPOSITORY / "workflows").glob("*.json"))
BLUEPRINTS = sorted((REPOSITORY / "subgraphs").glob("*.json"))
SAVED = json.loads((REPOSITORY / "tests/data/saved-0.2.json").read_text(encoding="utf-8"))
NEWER = {"PEZExamplePicture", "PEZLoadEmbeddedModels", "PEZPickPrompt", "PEZPictureSimilarity"}
WIDEST_TITLE = 36
IN_SIGHT = 2
LOADERS = ("CheckpointLoaderSimple", "CLIPVisionLoader", "UNETLoader", "CLIPLoader", "VAELoader")
SETTINGS_AND_MORE = ("PEZSearchSettings", "PEZClassificationPrompt")
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")

CONNECT = """([source, name]) => {
    const { graph } = window.app;
    const target = graph._nodes[0];
    const node = LiteGraph.createNode(source);
    graph.add(node);
    node.connect(0, target, name);
}"""
SHOW = """(output) => {
    const { graph } = window.app;
    const node = LiteGraph.createNode('PreviewAny');
    graph.add(node);
    graph._nodes[0].connect(output, node, 0);
}"""


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def values(workflow: dict[str, Any]) -> dict[str, Any]:
    """What people set, by node; the widgets of PreviewAny only show."""
    return {
        str(node["id"]): node.get("widgets_values") or [] for node in workflow["nodes"] if node["type"] != "PreviewAny"
    }


def links(workflow: dict[str, Any]) -> set[tuple[str, ...]]:
    return {tuple(str(part) for part in link[1:5]) for link in workflow["links"]}


def ours(server: Server) -> dict[str, dict[str, list[Any]]]:
    """For each node of the pack, its inputs by name."""
    found = {name: info["input"] for name, info in server.get("/object_info").items() if name.startswith("PEZ")}
    return {name: {**parts.get("required", {}), **parts.get("optional", {})} for name, parts in found.items()}


def is_widget(spec: list[Any]) -> bool:
    kind = spec[0]
    return (isinstance(kind, list) or kind in WIDGETS) and not spec[1].get("forceInput")


@pytest.fixture(scope="module", params=[False, True], ids=["canvas", "nodes 2.0"])
def page(request, server: Server) -> Iterator[tuple[Page, list[str]]]:
    if CHROMIUM is None:
        pytest.skip("no Chromium: install one to test in the editor")
    server.post("/settings", {"Comfy.TutorialCompleted": True, "Comfy.VueNodes.Enabled": request.param})
    server.post("/settings", {"Comfy.Workflow.ShowMissingModelsWarning": True})  # older editors ask before they offer
    try:
        with editor(server.url) as opened:
            yield opened
    finally:
        server.post("/settings", {"Comfy.VueNodes.Enabled": False, "Comfy.Workflow.ShowMissingModelsWarning": False})


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_title_reads_and_fits(path):
    assert re.fullmatch(r"\d\d [A-Z][a-z ]+ \([\w. -]+\)", path.stem)
    assert len(path.stem) <= WIDEST_TITLE


def test_those_without_downloads_come_first():
    needs_nothing = ["no downloads" in path.stem for path in WORKFLOWS]
    assert needs_nothing == sorted(needs_nothing, reverse=True) and needs_nothing.count(True) >= 3
    for path in WORKFLOWS[: needs_nothing.count(True)]:
        assert not any(node["type"] in (*LOADERS, "LoadImage") for node in read(path)["nodes"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_model_file_has_an_address(path):
    nodes = read(path)["nodes"]
    (note,) = [node["widgets_values"][0] for node in nodes if node["type"] == "MarkdownNote"]
    files = {}
    for node in nodes:
        if node["type"] in LOADERS:
            (model,) = node["properties"]["models"]
            assert model["name"] == node["widgets_values"][0] and model["name"].endswith(".safetensors")
            assert re.fullmatch(
                r"https://huggingface\.co/[\w-]+/[\w.-]+/resolve/main/[\w./-]+\.safetensors", model["url"]
            )
            assert f"[{model['name']}]({model['url']})" in note
            files[f"{model['directory']}/{model['name']}"] = model["url"]
    for node in nodes:
        for value in node.get("widgets_values") or []:
            if str(value).startswith("clip_vision/"):
                assert value in files, "projection_file is one of the files that are fetched"


def test_the_editor_offers_to_fetch_missing_models(page):
    editor_page, _ = page
    workflow = read(next(path for path in WORKFLOWS if "(SD1.5)" in path.stem))
    open_workflow(editor_page, workflow)
    details = editor_page.get_by_text("View details")
    if details.count():
        details.first.click()
    for node in workflow["nodes"]:
        for model in node["properties"].get("models", []):
            editor_page.get_by_text(model["name"]).last.wait_for(timeout=10_000)
    assert editor_page.get_by_role("button", name=re.compile("^Download")).count() >= 2
    editor_page.keyboard.press("Escape")


@pytest.mark.parametrize("query", ["interrogate", "caption", "image to prompt"])
def test_the_search_finds_image_to_hard_prompt(page, server, query):
    if not any(info.get("search_aliases") for info in server.get("/object_info").values()):
        pytest.skip("this ComfyUI's nodes have no other names to be found by")
    editor_page, _ = page
    open_workflow(editor_page, {"nodes": [], "links": [], "version": 0.4})
    editor_page.evaluate("window.app.extensionManager.command.execute('Workspace.SearchBox.Toggle')")
    editor_page.locator("[role=dialog] input[type=text]").first.fill(query)
    found = editor_page.locator("[role=option]")
    found.filter(has_text="Image to Hard Prompt").first.wait_for()
    editor_page.wait_for_timeout(1500)  # the list follows the typing with a delay
    first = [text.split("\n")[0] for text in found.all_inner_texts()[:5]]
    editor_page.keyboard.press("Escape")
    assert "Image to Hard Prompt" in first


def test_a_newcomer_sees_two_widgets_of_a_node(server):
    if not has_advanced(server):
        pytest.skip("this ComfyUI's nodes cannot hide a widget")
    for name, inputs in ours(server).items():
        seen = [key for key, spec in inputs.items() if is_widget(spec) and not spec[1].get("advanced")]
        assert len(seen) <= IN_SIGHT or name in SETTINGS_AND_MORE, (name, seen)


def has_advanced(server: Server) -> bool:
    """Whether inputs of the API that our nodes use can be hidden: one of core's then is."""
    core = server.get("/object_info/SkipLayerGuidanceSD3")["SkipLayerGuidanceSD3"]["input"]["required"]
    return bool(core["layers"][1].get("advanced"))


def test_hidden_widgets_keep_their_values(page, server):
    editor_page, _ = page
    workflow = read(WORKFLOWS[0])
    (node,) = [node for node in workflow["nodes"] if node["type"] == "PEZImageToHardPrompt"]
    node["widgets_values"] = [5, 7, 77, "fixed", 9, "none", 0.5]
    open_workflow(editor_page, workflow)
    shown = editor_page.locator(f"[data-node-id='{node['id']}']")
    if has_advanced(server) and shown.count():
        assert "language" in shown.inner_text() and "candidates" not in shown.inner_text()
        shown.get_by_test_id("advanced-inputs-button").click()
        shown.get_by_text("candidates").wait_for(timeout=10_000)
    saved = editor_page.evaluate("window.app.graph.serialize()")
    assert values(saved) == values(workflow)


@pytest.mark.parametrize("name", SAVED)
def test_a_workflow_of_the_last_release_keeps_values_and_links(page, name):
    editor_page, _ = page
    workflow = json.loads(json.dumps(SAVED[name]))
    for node in workflow["nodes"]:
        if node["type"] == "PEZLoadEncoder":
            node["widgets_values"] = ["ViT-L-14", "openai", "none"]
    opened = open_workflow(editor_page, workflow)
    editor_page.keyboard.press("Escape")
    assert opened["missing"] == []
    kept, saved = values(workflow), values(opened["saved"])
    assert {node: saved[node][: len(own)] for node, own in kept.items()} == kept
    assert links(opened["saved"]) == links(workflow)


def test_the_saved_workflows_hold_every_node_of_their_release(server):
    used = {node["type"] for workflow in SAVED.values() for node in workflow["nodes"]}
    assert set(ours(server)) - used == NEWER


def test_blueprints_are_offered(server):
    offered = {entry["name"] for entry in server.get("/global_subgraphs").values()}
    assert BLUEPRINTS and {path.stem for path in BLUEPRINTS} <= offered


@pytest.mark.parametrize("path", BLUEPRINTS, ids=lambda path: path.stem)
def test_a_blueprint_runs_without_downloads(page, server, path):
    editor_page, errors = page
    blueprint = read(path)
    (outer,) = blueprint["nodes"]
    if any(given["name"] == "text" for given in outer["inputs"]):
        outer["widgets_values"] = ["a flat drawing of lungs on a white background", 0.3]
    errors.clear()
    opened = open_workflow(editor_page, blueprint)
    assert (opened["missing"], opened["faulty"], opened["alerts"]) == ([], [], [])
    for given in outer["inputs"]:
        if given["type"] == "IMAGE":
            editor_page.evaluate(CONNECT, ["PEZExamplePicture", given["name"]])
    editor_page.evaluate(SHOW, 0)
    record = server.finish(queue(editor_page))
    texts = [output["text"][0] for output in record["outputs"].values() if "text" in output]
    assert texts and all(texts)
    assert errors == []


def test_the_usual_models_are_open_clips(server):
    spec = ours(server)["PEZLoadEncoder"]["model"]
    options = spec[1]["options"] if spec[0] == "COMBO" else spec[0]
    assert options[0] == "embedded" and options[-1] == "custom"
    pairs = [tuple(option.split(" / ")) for option in options[1:-1]]
    assert pairs and set(pairs) <= set(open_clip.list_pretrained())
