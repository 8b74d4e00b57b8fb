"""Every workflow that comes along, opened in the real editor; those without downloads are run there."""

from __future__ import annotations

import json
import re
from io import BytesIO
from pathlib import Path

import pytest
import requests
from PIL import Image

from tools.editor import open_workflow, queue, shown_results, wait_for_results
from tools.server import REPOSITORY, error_of

WORKFLOWS = sorted((REPOSITORY / "workflows").glob("*.json"))
WITHOUT_DOWNLOADS = [path for path in WORKFLOWS if "no downloads" in path.stem]
LARGEST_THUMBNAIL = 60_000
GROWTH = 170
TITLE_BAR = 30

SET_STEPS = """(steps) => {  // which matter without language
    const searches = window.app.graph._nodes.filter((node) => node.type.startsWith('PEZ'));
    const widgets = searches.flatMap((node) => node.widgets ?? []);
    for (const widget of widgets.filter((widget) => widget.name === 'steps')) widget.value = steps;
    for (const widget of widgets.filter((widget) => widget.name === 'language')) widget.value = 0;
}"""
LEARNED = "Learned prompt"
LEARNED_PROMPT = f"window.app.graph._nodes.find((node) => node.title === '{LEARNED}')"


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def one_that_shows_its_prompt() -> dict:
    """The first workflow with a node for the learned prompt: it has a single search."""
    workflows = map(read, WITHOUT_DOWNLOADS)
    return next(each for each in workflows if any(node.get("title") == LEARNED for node in each["nodes"]))


def widget_values(workflow: dict) -> dict:
    """The values that people set; PreviewAny's widgets only show."""
    return {node["id"]: node.get("widgets_values") or [] for node in workflow["nodes"] if node["type"] != "PreviewAny"}


def is_about_a_model(error: str) -> bool:
    """Whether the editor could not ask how large a missing model is; it may say so when the next workflow is open."""
    nodes = [node for path in WORKFLOWS for node in read(path)["nodes"]]
    return any(model["url"] in error for node in nodes for model in node["properties"].get("models", []))


def area(node: dict) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a node, with its title and the room for its result."""
    (left, top), (width, height) = node["pos"], node["size"]
    room = GROWTH if any(output["name"] in ("prompt", "table") for output in node["outputs"]) else 0
    return left, top - TITLE_BAR, left + width, top + height + room


def run_in_editor(page, steps: int) -> str:
    """Queue the open workflow with so many steps, and no language, in every search; its id."""
    page.evaluate(SET_STEPS, steps)
    return queue(page)


def is_plain(server, file: dict) -> bool:
    """Whether a picture that the server keeps has the same colour everywhere."""
    answer = requests.get(f"{server.url}/view", params=file, timeout=30)
    return all(low == high for low, high in Image.open(BytesIO(answer.content)).convert("RGB").getextrema())


def test_there_is_a_workflow_for_every_node(server):
    used = {node["type"] for path in WORKFLOWS for node in read(path)["nodes"]}
    assert {name for name in used if name.startswith("PEZ")} == {
        name for name in server.get("/object_info") if name.startswith("PEZ")
    }


def test_the_readme_has_a_row_for_each():
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    rows = readme.partition("### Workflows\n")[2].partition("\n#")[0]
    assert sorted(re.findall(r"^\| `([^`]+)` \|", rows, re.MULTILINE)) == [path.stem for path in WORKFLOWS]


def test_comfyui_serves_them_as_templates(server):
    assert set(server.get("/workflow_templates")["ComfyUI-PEZ"]) == {path.stem for path in WORKFLOWS}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_it_has_a_thumbnail_that_is_served(server, path):
    answer = requests.get(f"{server.url}/api/workflow_templates/ComfyUI-PEZ/{path.stem}.jpg", timeout=30)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/jpeg")
    assert len(answer.content) < LARGEST_THUMBNAIL


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_it_is_tidy_and_explained(path):
    nodes = read(path)["nodes"]
    areas = [area(node) for node in nodes]
    for number, (left, top, right, bottom) in enumerate(areas):
        for other_left, other_top, other_right, other_bottom in areas[:number]:
            assert left >= other_right or right <= other_left or top >= other_bottom or bottom <= other_top
    (note,) = [node["widgets_values"][0] for node in nodes if node["type"] == "MarkdownNote"]
    assert "models/" in note or "no model files" in note
    assert all(node["widgets_values"][0] == "example.png" for node in nodes if node["type"] == "LoadImage")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_it_opens_without_errors_and_keeps_every_value(page, path):
    editor_page, errors = page
    errors.clear()
    workflow = read(path)
    opened = open_workflow(editor_page, workflow, path.stem)
    assert (opened["missing"], opened["faulty"], opened["alerts"]) == ([], [], [])
    assert [error for error in errors if not is_about_a_model(error)] == []
    assert widget_values(opened["saved"]) == widget_values(workflow)
    assert len(opened["saved"]["links"]) == len(workflow["links"])


@pytest.mark.parametrize("path", WITHOUT_DOWNLOADS, ids=lambda path: path.stem)
def test_one_without_downloads_shows_its_prompts_and_pictures(page, server, path):
    editor_page, errors = page
    workflow = read(path)
    open_workflow(editor_page, workflow, path.stem)
    errors.clear()
    record = server.finish(queue(editor_page))
    assert record["status"]["status_str"] == "success", error_of(record)
    found = {node: output["pez"][0]["text"] for node, output in record["outputs"].items() if "pez" in output}
    wait_for_results(editor_page, record)
    assert shown_results(editor_page) == found
    assert all(found.values())
    for node in workflow["nodes"]:
        if node["type"] == "PreviewImage":
            pictures = record["outputs"][str(node["id"])]["images"]
            assert pictures and not any(is_plain(server, picture) for picture in pictures), node["title"]
    assert errors == []


def test_the_prompt_can_be_selected_and_copied(page, server):
    editor_page, _ = page
    open_workflow(editor_page, one_that_shows_its_prompt())
    server.finish(run_in_editor(editor_page, 5))
    editor_page.wait_for_function(
        f"{LEARNED_PROMPT}.widgets?.some((widget) => /\\w \\w/.test(String(widget.value ?? '')))"
    )
    editor_page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    editor_page.keyboard.press(".")  # fit the view
    text = editor_page.locator(".pez-result .pez-text")
    text.click(click_count=3)
    assert editor_page.evaluate("getSelection().toString().trim()") == text.inner_text().strip()
    editor_page.locator(".pez-result .pez-copy").click()
    editor_page.wait_for_function("document.querySelector('.pez-copy').innerText === 'Copied'")
    assert editor_page.evaluate("navigator.clipboard.readText()") == text.inner_text()


def test_the_cancel_button_interrupts_a_search(page, server):
    editor_page, _ = page
    open_workflow(editor_page, one_that_shows_its_prompt())
    identity = run_in_editor(editor_page, 100_000)
    editor_page.locator(".pez-figures", has_text="step").wait_for(timeout=60_000)
    editor_page.get_by_label("Cancel current run").click()
    status = server.finish(identity, seconds=30)["status"]
    assert [kind for kind, _ in status["messages"]][-1] == "execution_interrupted"
