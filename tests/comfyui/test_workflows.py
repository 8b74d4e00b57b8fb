"""Every workflow that comes along, opened in the real editor; the one without downloads is run there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from editor import CHROMIUM, editor, open_workflow
from server import REPOSITORY

WORKFLOWS = sorted((REPOSITORY / "workflows").glob("*.json"))
OWN_NODES = {
    "PEZImageToHardPrompt", "PEZPromptDistill", "PEZPromptConcat",
    "PEZStyleExtract", "PEZLoadEncoder", "PEZSearchSettings", "PEZLoadLanguageModel", "PEZClassificationPrompt",
}  # fmt: skip


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def widget_values(workflow: dict) -> dict:
    """The values that people set; PreviewAny's widgets only show."""
    return {node["id"]: node.get("widgets_values") or [] for node in workflow["nodes"] if node["type"] != "PreviewAny"}


@pytest.fixture(scope="module")
def page(server):
    if CHROMIUM is None:
        pytest.skip("no Chromium: install one to test in the editor")
    server.post("/settings", {"Comfy.TutorialCompleted": True})  # a new user would get the template browser in front
    with editor(server.url) as opened:
        yield opened


def test_there_is_a_workflow_for_every_task():
    used = {node["type"] for path in WORKFLOWS for node in read(path)["nodes"]}
    assert len(WORKFLOWS) >= 5
    assert used >= OWN_NODES - {"PEZSearchSettings"}


def test_comfyui_serves_them_as_templates(server):
    assert set(server.get("/workflow_templates")["ComfyUI-PEZ"]) == {path.stem for path in WORKFLOWS}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_it_opens_without_errors_and_keeps_every_value(page, path):
    editor_page, errors = page
    errors.clear()
    workflow = read(path)
    opened = open_workflow(editor_page, workflow)
    assert (opened["missing"], opened["faulty"], opened["alerts"], errors) == ([], [], [], [])
    assert widget_values(opened["saved"]) == widget_values(workflow)
    assert len(opened["saved"]["links"]) == len(workflow["links"])


def test_the_one_without_downloads_shows_its_prompt(page, server):
    editor_page, _ = page
    open_workflow(editor_page, read(REPOSITORY / "workflows" / "no_downloads.json"))
    before = set(server.get("/history"))
    editor_page.evaluate("window.app.queuePrompt(0)")
    editor_page.wait_for_function(
        "window.app.graph._nodes.find((node) => node.title === 'Learned prompt')"
        ".widgets?.some((widget) => String(widget.value ?? '').split(' ').length >= 2)",
        timeout=120_000,
    )
    (identity,) = set(server.get("/history")) - before
    shown = [output["text"][0] for output in server.get(f"/history/{identity}")[identity]["outputs"].values()]
    assert any(len(text.split()) >= 2 for text in shown)
