"""Every node's help page, and its texts in English and Chinese, as ComfyUI serves and the editor shows them."""

from __future__ import annotations

import re

import pytest
import requests

from tools.editor import CHROMIUM, editor

PAGES = ("{node}.md", "{node}/zh.md")
LARGEST_PICTURE = 60_000
PICTURE = re.compile(r"!\[[^\]]+\]\(([^)]+)\)")

SELECT = """(type) => {
    window.app.graph.clear();
    const node = LiteGraph.createNode(type);
    node.pos = [300, 300];
    window.app.graph.add(node);
    window.app.canvas.selectNode(node);
    return { title: node.title, labels: node.widgets.map((widget) => widget.label) };
}"""
TRANSLATED = """(keys) => {
    const { $t } = document.querySelector('#vue-app').__vue_app__.config.globalProperties;
    return Object.fromEntries(keys.map((key) => [key, $t(key)]));
}"""


@pytest.fixture(scope="module")
def nodes(server) -> list[str]:
    return [name for name in server.get("/object_info") if name.startswith("PEZ")]


@pytest.fixture(scope="module")
def locales(server) -> dict:
    return {language: texts["nodeDefs"] for language, texts in server.get("/i18n").items()}


@pytest.fixture(scope="module")
def chinese_page(server):
    if CHROMIUM is None:
        pytest.skip("no Chromium: install one to test in the editor")
    before = server.get("/settings").get("Comfy.Locale", "en")
    server.post("/settings", {"Comfy.TutorialCompleted": True, "Comfy.Locale": "zh"})
    try:
        with editor(server.url) as opened:
            yield opened
    finally:
        server.post("/settings", {"Comfy.Locale": before})


def shape(texts: dict) -> dict:
    """The keys of a node's texts, without the texts."""
    return {key: shape(value) if isinstance(value, dict) else bool(value) for key, value in texts.items()}


def unescaped(text: str) -> str:
    """A locale's text as vue-i18n shows it."""
    return re.sub(r"\{'(.)'\}", r"\1", text)


def flat(texts: dict, prefix: str) -> dict[str, str]:
    """Nested texts by the key with dots under which the editor looks them up."""
    found: dict[str, str] = {}
    for key, value in texts.items():
        found |= flat(value, f"{prefix}.{key}") if isinstance(value, dict) else {f"{prefix}.{key}": value}
    return found


@pytest.mark.parametrize("page", PAGES)
def test_every_node_has_a_page_with_pictures(server, nodes, page):
    folder = f"{server.url}/extensions/ComfyUI-PEZ/docs"
    for node in nodes:
        answer = requests.get(f"{folder}/{page.format(node=node)}", timeout=30)
        assert answer.status_code == 200, node
        pictures = PICTURE.findall(answer.content.decode("utf-8"))
        assert pictures, node
        for picture in pictures:
            served = requests.get(f"{folder}/{picture}", timeout=30)
            assert (served.status_code, served.headers["Content-Type"]) == (200, "image/png"), picture
            assert len(served.content) < LARGEST_PICTURE, picture


def test_the_texts_of_every_language_cover_the_english_ones(nodes, locales):
    assert locales["en"].keys() == set(nodes)
    assert {language for language, texts in locales.items() if shape(texts) != shape(locales["en"])} == set()


def test_chinese_names_are_chinese(locales):
    texts = flat(
        {node: {key: each[key] for key in ("display_name", "description")} for node, each in locales["zh"].items()},
        "zh",
    )
    assert [text for text in texts.values() if not re.search("[\u4e00-\u9fff]", text)] == []


def test_the_editor_shows_chinese_texts_as_they_are_written(chinese_page, locales):
    page, _ = chinese_page
    shown = page.evaluate(SELECT, "PEZPromptDistill")
    texts = locales["zh"]["PEZPromptDistill"]
    assert shown["title"] == texts["display_name"]
    assert {texts["inputs"][name]["name"] for name in ("ratio", "steps", "mode")} <= set(shown["labels"])
    written = {key: unescaped(text) for key, text in flat(locales["zh"], "nodeDefs").items()}
    assert page.evaluate(TRANSLATED, list(written)) == written


def test_the_help_panel_opens_in_chinese_without_an_error(chinese_page):
    page, errors = chinese_page
    page.evaluate(SELECT, "PEZImageToHardPrompt")
    page.get_by_test_id("info-button").dispatch_event("click")
    page.wait_for_function("document.querySelector('.node-help-content img')?.naturalWidth > 0", timeout=30_000)
    shown = page.inner_text(".node-help-content")
    assert "图像转硬提示词" in shown
    assert "<!--" not in shown, "the markers around the tables are hidden"
    assert page.locator(".node-help-content table").count() == 2
    assert errors == []
