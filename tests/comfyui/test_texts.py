"""What tools.texts writes from the schemas; no ComfyUI is needed for it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from tools.texts import english, escaped, files

PAGE = (
    "# Node\n\n<!-- inputs -->\n{inputs}<!-- end -->\n\nBetween.\n\n<!-- outputs -->\n{outputs}<!-- end -->\n\nTips.\n"
)
SCHEMA = SimpleNamespace(
    node_id="PEZNode",
    display_name="Node",
    description="Does it.",
    inputs=[SimpleNamespace(id="text", tooltip="A text, or a|b."), SimpleNamespace(id="steps", tooltip="How many.")],
    outputs=[SimpleNamespace(display_name="prompt", tooltip="The text.")],
)
CHINESE = {
    "Node": "节点",
    "Does it.": "做这件事。",
    "text": "文本",
    "A text, or a|b.": "文本 | 。",
    "steps": "steps",
    "How many.": "步数。",
    "prompt": "提示词",
    "The text.": "结果。",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "web/docs/PEZNode").mkdir(parents=True)
    (tmp_path / "tools/phrases").mkdir(parents=True)
    for page in ("PEZNode.md", "PEZNode/zh.md"):
        (tmp_path / "web/docs" / page).write_text(PAGE.format(inputs="| old |\n", outputs=""), encoding="utf-8")
    write_chinese(tmp_path, CHINESE)
    return tmp_path


def write_chinese(root: Path, texts: dict) -> None:
    (root / "tools/phrases/zh.json").write_text(json.dumps(texts), encoding="utf-8")


def test_the_english_locale_says_what_the_schema_says(root):
    written = files(root, english([SCHEMA]))[root / "locales/en/nodeDefs.json"]
    assert json.loads(written) == {
        "PEZNode": {
            "display_name": "Node",
            "description": "Does it.",
            "inputs": {
                "text": {"name": "text", "tooltip": "A text, or a{'|'}b."},
                "steps": {"name": "steps", "tooltip": "How many."},
            },
            "outputs": {"0": {"name": "prompt", "tooltip": "The text."}},
        }
    }


def test_a_translated_locale_has_the_texts_of_its_phrases(root):
    written = files(root, english([SCHEMA]))[root / "locales/zh/nodeDefs.json"]
    assert json.loads(written) == {
        "PEZNode": {
            "display_name": "节点",
            "description": "做这件事。",
            "inputs": {
                "text": {"name": "文本", "tooltip": "文本 {'|'} 。"},
                "steps": {"name": "steps", "tooltip": "步数。"},
            },
            "outputs": {"0": {"name": "提示词", "tooltip": "结果。"}},
        }
    }


def test_tables_are_replaced_and_the_prose_around_them_stays(root):
    written = files(root, english([SCHEMA]))
    assert written[root / "web/docs/PEZNode.md"] == PAGE.format(
        inputs="| Input | Meaning |\n|---|---|\n| `text` | A text, or a\\|b. |\n| `steps` | How many. |\n",
        outputs="| Output | Meaning |\n|---|---|\n| `prompt` | The text. |\n",
    )
    assert written[root / "web/docs/PEZNode/zh.md"] == PAGE.format(
        inputs="| 输入 | 说明 |\n|---|---|\n| `text` 文本 | 文本 \\| 。 |\n| `steps` | 步数。 |\n",
        outputs="| 输出 | 说明 |\n|---|---|\n| `prompt` 提示词 | 结果。 |\n",
    )


def test_writing_again_changes_nothing(root):
    written = files(root, english([SCHEMA]))
    for path, text in written.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert files(root, english([SCHEMA])) == written


def test_prose_between_the_markers_is_not_overwritten(root):
    page = root / "web/docs/PEZNode.md"
    page.write_text(PAGE.format(inputs="| old |\n", outputs="Prose.\n"), encoding="utf-8")
    with pytest.raises(SystemExit, match=r"PEZNode.md needs one <!-- outputs --> with <!-- end --> after it"):
        files(root, english([SCHEMA]))


def test_a_missing_page_is_named(root):
    (root / "web/docs/PEZNode/zh.md").unlink()
    with pytest.raises(SystemExit, match=r"zh.md is missing; write the help page"):
        files(root, english([SCHEMA]))


def test_a_missing_translation_is_named_as_after_a_change_of_the_english_text(root):
    write_chinese(root, {text: own for text, own in CHINESE.items() if text != "How many."})
    with pytest.raises(SystemExit, match=r'zh.json lacks \[\s+"How many."\s+\]; translate them'):
        files(root, english([SCHEMA]))


def test_a_translation_of_what_no_schema_says_any_more_is_named(root):
    write_chinese(root, CHINESE | {"How few.": "步数。"})
    with pytest.raises(SystemExit, match=r'zh.json holds \[\s+"How few."\s+\], which no schema says any more'):
        files(root, english([SCHEMA]))


def test_what_the_editor_would_read_as_syntax_is_escaped():
    assert escaped("a|b{c} $5 @ 3") == "a{'|'}b{'{'}c{'}'} {'$'}5 {'@'} 3"
