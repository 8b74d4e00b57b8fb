"""From an empty folder of a new user to the first prompt, by the mouse alone."""

from __future__ import annotations

import pytest

from tools.editor import CHROMIUM, editor
from tools.server import REPOSITORY, Server, comfyui_path

FIRST = min((REPOSITORY / "workflows").glob("*.json"))
MOST_CLICKS = 5
RESULT = ".pez-result .pez-text"


@pytest.mark.slow
def test_a_newcomer_has_a_prompt_in_a_few_clicks(tmp_path):
    checkout = comfyui_path()
    if checkout is None or CHROMIUM is None:
        pytest.skip("no ComfyUI or no Chromium")
    for name in ("custom_nodes", "input", "models"):
        (tmp_path / name).mkdir()
    (tmp_path / "custom_nodes" / "ComfyUI-PEZ").symlink_to(REPOSITORY)
    server = Server(checkout, tmp_path)
    try:
        with editor(server.url) as (newcomers_page, errors):
            wanted = [
                newcomers_page.get_by_text("ComfyUI-PEZ", exact=True),
                newcomers_page.get_by_text(FIRST.stem, exact=True),
                newcomers_page.get_by_role("button", name="Run", exact=True),
            ]
            if not newcomers_page.get_by_role("dialog").count():
                wanted.insert(0, newcomers_page.get_by_role("button", name="Templates"))
            for thing in wanted:
                thing.first.click()
            newcomers_page.locator(RESULT).wait_for(timeout=300_000)
            assert len(wanted) <= MOST_CLICKS
            assert newcomers_page.locator(RESULT).inner_text().strip()
            assert errors == []
    finally:
        server.stop()
