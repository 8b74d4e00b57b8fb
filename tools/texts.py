"""Writes what the nodes' schemas already say: the locales, and the tables in the help pages.

    COMFYUI_PATH=ComfyUI python -m tools.texts [--check]

A language other than English is a file tools/phrases/LANGUAGE.json, which gives each English text of the schemas in
that language. A help page is web/docs/NODE.md in English and web/docs/NODE/LANGUAGE.md in a language of HEADINGS; its
tables stand between <!-- inputs --> or <!-- outputs --> and <!-- end -->.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.pack import import_pack
from tools.server import REPOSITORY

Texts = dict[str, Any]
Phrases = dict[str, str]
HEADINGS = {
    "en": {"inputs": "Input | Meaning", "outputs": "Output | Meaning"},
    "zh": {"inputs": "输入 | 说明", "outputs": "输出 | 说明"},
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.texts", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, and fail where a file would change")
    check = parser.parse_args().check
    extension = asyncio.run(import_pack().comfy_entrypoint())
    nodes = asyncio.run(extension.get_node_list())
    wanted = files(REPOSITORY, english([node.define_schema() for node in nodes]))
    changed = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in changed:
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path], encoding="utf-8")
        print(f"{path.relative_to(REPOSITORY)} {'is not what the schemas say' if check else 'is written'}")
    if check and changed:
        sys.exit("run: python -m tools.texts")


def english(schemas: list[Any]) -> Texts:
    """Display names, descriptions and tooltips, by node."""
    texts = {
        schema.node_id: {
            "display_name": schema.display_name,
            "description": schema.description,
            "inputs": {each.id: {"name": each.id, "tooltip": each.tooltip} for each in schema.inputs},
            "outputs": {
                str(place): {"name": each.display_name, "tooltip": each.tooltip}
                for place, each in enumerate(schema.outputs)
            },
        }
        for schema in schemas
    }
    return dict(sorted(texts.items()))


def files(root: Path, en: Texts) -> dict[Path, str]:
    """The files that are written from the English texts and their translations, with what belongs in them."""
    phrases = {path.stem: path for path in sorted((root / "tools/phrases").glob("*.json"))}
    translations = {"en": en} | {language: translated(en, path) for language, path in phrases.items()}
    written = {root / f"locales/{language}/nodeDefs.json": locale(texts) for language, texts in translations.items()}
    for language, headings in HEADINGS.items():
        for node, texts in en.items():
            page = root / "web/docs" / (f"{node}.md" if language == "en" else f"{node}/{language}.md")
            if not page.exists():
                sys.exit(f"{page} is missing; write the help page, with a pair of markers for each table.")
            text = page.read_text(encoding="utf-8")
            for part, heading in headings.items():
                text = with_table(text, part, table(heading, texts[part], translations[language][node][part]), page)
            written[page] = text
    return written


def translated(en: Texts, path: Path) -> Texts:
    """The English texts in the language of a file of phrases, which has each of them and no other."""
    phrases: Phrases = json.loads(path.read_text(encoding="utf-8"))
    wanted = set(_leaves(en))
    if lacking := sorted(wanted - phrases.keys()):
        sys.exit(f"{path} lacks {json.dumps(lacking, indent=1)}; translate them.")
    if unused := sorted(phrases.keys() - wanted):
        sys.exit(f"{path} holds {json.dumps(unused, indent=1)}, which no schema says any more; take them out.")
    return _mapped(en, phrases.__getitem__)


def locale(texts: Texts) -> str:
    """The file that ComfyUI reads, in which its editor reads nothing as the syntax of its translations."""
    return json.dumps(_mapped(texts, escaped), indent=2, ensure_ascii=False) + "\n"


def escaped(text: str) -> str:
    """Text without what vue-i18n, by which the editor translates, reads as syntax."""
    return re.sub(r"[{}@$|]", r"{'\g<0>'}", text)


def table(heading: str, en: Texts, own: Texts) -> str:
    """A Markdown table of inputs or outputs: the name on the node in English, its translation, and the tooltip."""
    rows = [f"| {heading} |", "|---|---|"]
    for key, texts in own.items():
        name = en[key]["name"]
        label = f"`{name}`" if texts["name"] == name else f"`{name}` {texts['name']}"
        tooltip = texts["tooltip"].replace("|", "\\|")
        rows.append(f"| {label} | {tooltip} |")
    return "\n".join(rows)


def with_table(text: str, part: str, rows: str, page: Path) -> str:
    """The page's text with these rows between the markers of that part, where only table rows may stand."""
    begin, end = f"<!-- {part} -->\n", "<!-- end -->"
    replaced, count = re.subn(f"{begin}(?:\\|.*\n)*{end}", lambda _: f"{begin}{rows}\n{end}", text)
    if count != 1:
        sys.exit(f"{page} needs one {begin.strip()} with {end} after it, and nothing but the table between them.")
    return replaced


def _leaves(texts: Texts) -> list[str]:
    return [leaf for value in texts.values() for leaf in (_leaves(value) if isinstance(value, dict) else [value])]


def _mapped(texts: Texts, change: Callable[[str], str]) -> Texts:
    return {key: _mapped(value, change) if isinstance(value, dict) else change(value) for key, value in texts.items()}


if __name__ == "__main__":
    main()
