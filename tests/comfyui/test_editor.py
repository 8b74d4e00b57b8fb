"""What the pack shows in ComfyUI's editor, in both of its renderers: results, progress, languages, colours."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Page

from tools.editor import NODES, READY, open_workflow, queue, shown_results, wait_for_results

SEARCH = "PEZImageToHardPrompt"
FOREVER = 100_000
LONG = "a red rescue helmet with a white cross on a pink background " * 12
ACTIVE = "window.app.extensionManager.workflow.activeWorkflow"
TRACKER = f"{ACTIVE}.changeTracker"
SET = "([name, value]) => window.app.extensionManager.setting.set(name, value)"
SETTLED = """async () => {
    let nodes = [];
    for (let quiet = 0; quiet < 8; ) {
        await new Promise((wait) => setTimeout(wait, 250));
        const now = [...window.app.graph._nodes];
        quiet = now.length === nodes.length && now.every((node, place) => node === nodes[place]) ? quiet + 1 : 0;
        nodes = now;
    }
}"""

FROM_API = """async (graph) => {
    await window.app.loadApiJson(graph, 'graph');
    return (window.app.rootGraph ?? window.app.graph).serialize();
}"""
LOAD = "([workflow, name]) => window.app.loadGraphData(workflow, true, true, name)"
FRAME = f"""(type) => {{
    const node = {NODES}.find((node) => node.type === type);
    window.app.canvas.ds.scale = 1;
    window.app.canvas.ds.offset = [500 - node.pos[0], 120 - node.pos[1]];
    window.app.canvas.draw(true, true);
}}"""
MOVE = f"""([type, across]) => {{
    const node = window.app.graph._nodes.find((node) => node.type === type);
    node.pos = [across, node.pos[1]];
    const tracker = {TRACKER};
    (tracker.captureCanvasState ?? tracker.checkState).call(tracker);
}}"""
ACROSS = "(type) => window.app.graph._nodes.find((node) => node.type === type).pos[0]"
COLLAPSE = f"(type) => {NODES}.find((node) => node.type === type).collapse()"
DUPLICATE = """(type) => {
    const { canvas, graph } = window.app;
    canvas.selectItems([graph._nodes.find((node) => node.type === type)]);
    canvas.copyToClipboard();
    canvas.pasteFromClipboard({ connectInputs: true });
}"""
INTO_SUBGRAPH = """(type) => {
    const graph = window.app.rootGraph ?? window.app.graph;
    const { node } = graph.convertToSubgraph(new Set([graph._nodes.find((node) => node.type === type)]));
    return String(node.id);
}"""
ENTER = """(id) => {
    const graph = window.app.rootGraph ?? window.app.graph;
    window.app.canvas.setGraph(graph.getNodeById(id).subgraph);
}"""
LISTEN = """() => {
    window.said = [];
    const listen = () => {
        for (const figures of document.querySelectorAll('.pez-figures')) window.said.push(figures.innerText);
    };
    new MutationObserver(listen).observe(document, { subtree: true, childList: true });
}"""
CONTRAST = """() => {
    const luminance = (colour) => {
        const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255);
        const [red, green, blue] = parts.map((part) => ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const style = getComputedStyle(document.querySelector('.pez-result'));
    const [low, high] = [luminance(style.color), luminance(style.backgroundColor)].sort((one, other) => one - other);
    return (high + 0.05) / (low + 0.05);
}"""
COLOURS = """(type) => [
    LGraphCanvas.link_type_colors[type],
    getComputedStyle(document.documentElement).getPropertyValue(`--color-datatype-${type}`).trim(),
]"""
APP_MODE = f"'activeMode' in {ACTIVE}"
ENTER_APP_MODE = f"() => {{ {ACTIVE}.activeMode = 'app'; }}"


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def picture(name: str) -> dict[str, Any]:
    return node("LoadImage", image=name)


def search(image: list[Any], steps: int = 5, seed: int = 1) -> dict[str, Any]:
    settings = {
        "prompt_length": 4,
        "steps": steps,
        "seed": seed,
        "candidates": 2,
        "projection_file": "none",
        "language": 0,
    }
    return node(SEARCH, image=image, encoder=["1", 0], **settings)


def one_search(**settings: int) -> dict[str, Any]:
    encoder = node("PEZLoadEncoder", model="embedded", pretrained="")
    return {"1": encoder, "2": picture("example.png"), "3": search(["2", 0], **settings)}


def four_searches() -> dict[str, Any]:
    pictures = {str(4 + number): picture(f"{number:02d}.png") for number in range(4)}
    batches = {
        "8": node("ImageBatch", image1=["4", 0], image2=["5", 0]),
        "9": node("ImageBatch", image1=["6", 0], image2=["7", 0]),
        "10": node("ImageBatch", image1=["8", 0], image2=["9", 0]),
        "11": node("RebatchImages", images=["10", 0], batch_size=1),
    }
    return {"1": one_search()["1"], **pictures, **batches, "3": search(["11", 0])}


def open_graph(page: Page, graph: dict[str, Any], name: str = "graph", **extra: Any) -> dict[str, Any]:
    """Open a graph in API format in a new tab, as a workflow with an id of its own."""
    workflow = page.evaluate(FROM_API, graph)
    workflow["id"] = str(uuid.uuid4())
    workflow["extra"] = {**workflow.get("extra", {}), **extra}
    page.evaluate(LOAD, [workflow, name])
    page.wait_for_timeout(300)
    return workflow


def found_texts(record: dict[str, Any]) -> list[str]:
    (results,) = [output["pez"] for output in record["outputs"].values() if "pez" in output]
    return [result["text"] for result in results]


def run(page: Page, server) -> list[str]:
    """Run the open workflow until its node shows what it found, in sight; the texts."""
    record = finished(page, server)
    page.evaluate(FRAME, SEARCH)
    return found_texts(record)


def finished(page: Page, server) -> dict[str, Any]:
    """Run the open workflow until its nodes show what they found; the server's record."""
    record = server.finish(queue(page))
    assert record["status"]["status_str"] == "success", record["status"]
    wait_for_results(page, record)
    return record


def visible_texts(page: Page) -> list[str]:
    page.wait_for_timeout(500)
    return [text.inner_text() for text in page.locator(".pez-result .pez-text").all() if text.is_visible()]


def press(page: Page, keys: str) -> None:
    page.evaluate("document.activeElement?.blur()")
    page.keyboard.press(keys)


def show_tab(page: Page, name: str) -> None:
    page.get_by_text(name, exact=True).first.click()
    page.wait_for_function(f"{ACTIVE}?.path === 'workflows/{name}.json'")
    page.mouse.move(800, 900)  # or a preview of the tab stays open, and takes the keys
    page.wait_for_timeout(1000)


@contextmanager
def setting(page: Page, name: str, value: Any, usual: Any) -> Iterator[None]:
    page.evaluate(SET, [name, value])
    page.evaluate(SETTLED)  # another language loads the open workflow again, sooner or later
    try:
        yield
    finally:
        page.evaluate(SET, [name, usual])


@contextmanager
def running(page: Page, server) -> Iterator[str]:
    """A search that goes on until the end of the block; what it says of itself."""
    identity = queue(page)
    try:
        figures = page.locator(".pez-result[data-state=running] .pez-figures")
        figures.wait_for(state="attached", timeout=60_000)
        yield figures.inner_text()
    finally:
        server.post("/interrupt", {})
        server.finish(identity)


def test_undo_and_redo_keep_the_result(page, server):
    editor_page, errors = page
    open_graph(editor_page, one_search())
    texts = run(editor_page, server)
    editor_page.evaluate(MOVE, ["LoadImage", -700])
    editor_page.evaluate(MOVE, ["LoadImage", -800])
    errors.clear()
    press(editor_page, "Control+z")
    editor_page.wait_for_function(f"({ACROSS})('LoadImage') === -700")
    assert visible_texts(editor_page) == texts
    press(editor_page, "Control+y")
    editor_page.wait_for_function(f"({ACROSS})('LoadImage') === -800")
    assert visible_texts(editor_page) == texts
    assert errors == []


def test_a_result_is_there_again_after_a_change_of_tabs(page, server):
    editor_page, errors = page
    open_graph(editor_page, one_search(), "tab-one")
    texts = run(editor_page, server)
    open_graph(editor_page, one_search(), "tab-two")
    assert visible_texts(editor_page) == []
    show_tab(editor_page, "tab-one")
    editor_page.evaluate(FRAME, SEARCH)
    assert visible_texts(editor_page) == texts
    assert errors == []


def test_a_search_shows_in_its_own_tab_only(page, server):
    editor_page, _ = page
    open_graph(editor_page, one_search(steps=60), "searching")
    identity = queue(editor_page)
    editor_page.locator(".pez-result[data-state]").wait_for(state="attached")
    open_graph(editor_page, one_search(steps=60), "waiting")
    record = server.finish(identity)
    editor_page.evaluate(MOVE, ["LoadImage", -700])
    editor_page.evaluate(MOVE, ["LoadImage", -800])
    press(editor_page, "Control+z")
    editor_page.wait_for_function(f"({ACROSS})('LoadImage') === -700")
    assert visible_texts(editor_page) == []
    show_tab(editor_page, "searching")
    editor_page.evaluate(FRAME, SEARCH)
    assert visible_texts(editor_page) == found_texts(record)


def test_a_node_in_a_subgraph_keeps_its_result(page, server):
    editor_page, errors = page
    open_graph(editor_page, one_search(), "outer")
    editor_page.evaluate(MOVE, ["LoadImage", -700])
    subgraph = editor_page.evaluate(INTO_SUBGRAPH, SEARCH)
    record = finished(editor_page, server)
    texts = found_texts(record)
    editor_page.evaluate(MOVE, ["LoadImage", -750])
    editor_page.evaluate(MOVE, ["LoadImage", -800])
    press(editor_page, "Control+z")
    editor_page.wait_for_function(f"({ACROSS})('LoadImage') === -750")
    assert list(shown_results(editor_page).values()) == texts
    editor_page.evaluate(ENTER, subgraph)
    editor_page.evaluate(FRAME, SEARCH)
    assert visible_texts(editor_page) == texts
    assert errors == []


def test_copying_a_node_leaves_its_result_alone(page, server):
    editor_page, errors = page
    open_graph(editor_page, one_search())
    texts = run(editor_page, server)
    editor_page.evaluate(DUPLICATE, SEARCH)
    assert editor_page.evaluate(f"{NODES}.filter((node) => node.type === '{SEARCH}').length") == 2
    assert visible_texts(editor_page) == texts
    finished(editor_page, server)
    assert len(shown_results(editor_page)) == 2
    assert errors == []


def test_a_collapsed_node_shows_its_result_once_it_is_opened(page, server):
    editor_page, errors = page
    open_graph(editor_page, one_search())
    texts = run(editor_page, server)
    editor_page.evaluate(COLLAPSE, SEARCH)
    assert visible_texts(editor_page) == []
    editor_page.evaluate(COLLAPSE, SEARCH)
    assert visible_texts(editor_page) == texts
    assert not editor_page.locator(".pez-pager").is_visible(), "there is one result"
    assert not editor_page.locator(".pez-copy-all").is_visible()
    assert errors == []


def test_a_list_shows_every_result_and_copies_all(page, server):
    editor_page, errors = page
    open_graph(editor_page, four_searches())
    editor_page.evaluate(LISTEN)
    texts = run(editor_page, server)
    assert len(set(texts)) == 4
    said = {figures.partition(" · ")[0] for figures in editor_page.evaluate("window.said")}
    assert said >= {f"list item {number}" for number in (2, 3, 4)}
    seen = []
    for number in range(1, 5):
        assert editor_page.locator(".pez-place").inner_text() == f"{number} of 4"
        seen += visible_texts(editor_page)
        editor_page.locator(".pez-next").click()
    assert seen == texts
    editor_page.locator(".pez-previous").click()
    assert visible_texts(editor_page) == texts[3:]
    editor_page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    editor_page.locator(".pez-copy-all").click()
    editor_page.wait_for_function("document.querySelector('.pez-copy-all').innerText === 'Copied'")
    assert editor_page.evaluate("navigator.clipboard.readText()").splitlines() == texts
    assert errors == []


def test_after_a_reload_a_running_search_shows_again(page, server):
    editor_page, _ = page
    open_graph(editor_page, one_search(steps=FOREVER))
    said: list[str] = []
    editor_page.on("console", lambda message: said.append(message.text))
    with running(editor_page, server):
        editor_page.wait_for_timeout(1500)  # the editor keeps the workflow for the next time
        editor_page.reload()
        editor_page.wait_for_function(READY, timeout=120_000)
        editor_page.locator(".pez-result[data-state=running]").wait_for(state="attached", timeout=60_000)
    assert [text for text in said if re.search("Unhandled message|Unknown message|pez", text)] == []


def test_chinese_is_spoken_while_a_search_runs_and_after(page, server):
    editor_page, _ = page
    with setting(editor_page, "Comfy.Locale", "zh", "en"):
        open_graph(editor_page, one_search(steps=FOREVER))
        with running(editor_page, server) as figures:
            assert re.fullmatch(r"相似度 -?0\.\d+ · 第 \d+ 步，共 \d+ 步 · 剩余 \d+ 秒", figures)
        open_graph(editor_page, four_searches())
        run(editor_page, server)
        assert re.fullmatch(r"相似度 0\.\d+", editor_page.locator(".pez-figures").inner_text())
        assert editor_page.locator(".pez-place").inner_text() == "1 / 4"
        assert editor_page.locator(".pez-result button").all_inner_texts() == ["‹", "›", "复制", "全部复制"]


def test_notes_are_translated(page, server):
    editor_page, _ = page
    score = node("PEZPromptScore", text=LONG, image=["2", 0], encoder=["1", 0], projection_file="none")
    with setting(editor_page, "Comfy.Locale", "zh", "en"):
        open_graph(editor_page, {**one_search(), "3": score})
        record = finished(editor_page, server)
        note = editor_page.locator(".pez-notes").text_content()
    ((english,),) = [output["pez"][0]["notes"] for output in record["outputs"].values() if "pez" in output]
    assert re.match(r"文本占用 \d+ 个窗口", note)
    assert re.findall(r"\d+", note) == re.findall(r"\d+", english)
    assert note.endswith(english.rpartition(": ")[2])


def test_every_language_has_every_word_and_place(page):
    editor_page, _ = page
    words = editor_page.evaluate("import('/extensions/ComfyUI-PEZ/words.js').then(({ WORDS }) => WORDS)")
    places = re.compile(r"\{\w+\}")
    for language, own in words.items():
        assert own.keys() >= words["en"].keys(), language
        assert own.keys() == words["zh"].keys() or language == "en"
        for key, text in own.items():
            assert sorted(places.findall(text)) == sorted(places.findall(words["en"].get(key, key))), (language, key)


@pytest.mark.parametrize("palette", ["dark", "light"])
def test_the_result_can_be_read_in_every_theme(page, server, palette):
    editor_page, _ = page
    with setting(editor_page, "Comfy.ColorPalette", palette, "dark"):
        open_graph(editor_page, one_search())
        run(editor_page, server)
        assert editor_page.evaluate(CONTRAST) > 4.5


def test_the_sockets_of_the_pack_have_colours_in_every_theme(page):
    editor_page, _ = page
    open_workflow(editor_page, {"nodes": [], "links": [], "version": 0.4})
    for palette in ("light", "dark"):
        editor_page.evaluate(SET, ["Comfy.ColorPalette", palette])
        editor_page.wait_for_timeout(500)
        seen = [editor_page.evaluate(COLOURS, type) for type in ("PEZ_ENCODER", "PEZ_SETTINGS", "PEZ_LANGUAGE_MODEL")]
        assert all(canvas and canvas == css for canvas, css in seen), (palette, seen)
        assert len({canvas for canvas, _ in seen}) == 3


def test_app_mode_shows_the_prompt_as_the_result_of_the_app(page, server):
    editor_page, _ = page
    open_graph(editor_page, one_search(), "app", linearData={"inputs": [], "outputs": [3]})
    if not editor_page.evaluate(APP_MODE):
        pytest.skip("this editor has no App mode")
    editor_page.evaluate(ENTER_APP_MODE)
    editor_page.wait_for_timeout(1000)
    (text,) = found_texts(server.finish(queue(editor_page)))
    editor_page.locator("article", has_text=text).wait_for(timeout=30_000)
