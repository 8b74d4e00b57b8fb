"""ComfyUI's editor in a headless Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import ConsoleMessage, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
READY = "!!(window.app?.graph && LiteGraph.registered_node_types['PEZLoadEncoder'])"

OPEN = """async ([workflow, name]) => {
    await window.app.loadGraphData(workflow, true, true, name);
    await new Promise((wait) => setTimeout(wait, 500));
    const nodes = window.app.graph._nodes;
    const isFile = (value) => /\\.\\w+$/.test(value);
    const lacksFile = (node) => node.widgets?.some(
        ({ value, options }) => Array.isArray(options?.values) && isFile(value) && !options.values.includes(value));
    return {
        missing: nodes.filter((node) => !LiteGraph.registered_node_types[node.type]).map((node) => node.type),
        faulty: nodes.filter((node) => node.has_errors && !lacksFile(node)).map((node) => node.type),
        alerts: [...document.querySelectorAll('.p-toast-message, .p-dialog')].map((alert) => alert.innerText),
        saved: window.app.graph.serialize(),
    };
}"""

NODES = """((root) => [root, ...(root.subgraphs?.values() ?? [])].flatMap((graph) => graph._nodes))(
    window.app.rootGraph ?? window.app.graph)"""
SHOWN = f"{NODES}.filter((node) => node.pezResult).map((node) => [String(node.id), node.pezResult.text.textContent])"
FINISHED = f"""(count) => {{
    const states = {NODES}.flatMap((node) => node.pezResult?.element.dataset.state ?? []);
    return states.length >= count && states.every((state) => state === 'found');
}}"""


@contextmanager
def editor(url: str) -> Iterator[tuple[Page, list[str]]]:
    """The editor, ready, and the list that its console errors go to."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if _is_error(message) else None)
        page.goto(url)
        page.wait_for_function(READY, timeout=120_000)
        page.wait_for_timeout(3000)
        errors.clear()
        yield page, errors
        browser.close()


def _is_error(message: ConsoleMessage) -> bool:
    """Whether the page logs an error, other than what older editors say whenever they leave a subgraph."""
    return message.type == "error" and not message.text.startswith("Attempted to cleanup event listeners for graph")


def open_workflow(page: Page, workflow: dict[str, Any], name: str = "test") -> dict[str, Any]:
    """Load a workflow: missing and faulty nodes, alerts and dialogs, and the workflow as the editor would save it.

    A node that names a file which is not there is not faulty, although newer editors mark it. Newer editors also take a
    workflow of the same name as the one that is open for the same workflow, and give it the results of that one.
    """
    opened: dict[str, Any] = page.evaluate(OPEN, [workflow, name])
    return opened


def queue(page: Page) -> str:
    """Queue the open workflow; its id."""
    with page.expect_response("**/prompt") as answer:
        page.evaluate("window.app.queuePrompt(0)")
    identity: str = answer.value.json()["prompt_id"]
    return identity


def wait_for_results(page: Page, record: dict[str, Any]) -> None:
    """Wait until every node that has a result in the server's record of a run shows it."""
    page.wait_for_function(FINISHED, arg=sum("pez" in output for output in record["outputs"].values()))


def shown_results(page: Page) -> dict[str, str]:
    """The texts that nodes show, by node."""
    return dict(page.evaluate(SHOWN))
