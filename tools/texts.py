"""Writes what the nodes' schemas already say: the English locale, and the tables in the help pages.

    COMFYUI_PATH=ComfyUI python -m tools.texts [--check]

A page in English is web/docs/NODE.md, in another language web/docs/NODE/LANGUAGE.md with its texts in
locales/LANGUAGE/nodeDefs.json. The tables stand between <!-- inputs --> or <!-- outputs --> and <!-- end -->.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

from tools.pack import import_pack
from tools.server import REPOSITORY

Texts = dict[str, Any]
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
            path.write_text(wanted[path], encoding="utf-8")
        print(f"{path.relative_to(REPOSITORY)} {'is not what the schemas say' if check else 'is written'}")
    if check and changed:
        sys.exit("run: python -m tools.texts")


def english(schemas: list[Any]) -> Texts:
    """The English locale: display names, descriptions and tooltips, by node."""
    texts = {
        schema.node_id: {
            "display_name": schema.display_name,
            "description": escaped(schema.description),
            "inputs": {each.id: {"name": each.id, "tooltip": escaped(each.tooltip)} for each in schema.inputs},
            "outputs": {
                str(place): {"name": each.display_name, "tooltip": escaped(each.tooltip)}
                for place, each in enumerate(schema.outputs)
            },
        }
        for schema in schemas
    }
    return dict(sorted(texts.items()))


def escaped(text: str) -> str:
    """Text in which the editor reads nothing as the syntax of its translations (vue-i18n's)."""
    return re.sub(r"[{}@$|]", r"{'\g<0>'}", text)


def unescaped(text: str) -> str:
    return re.sub(r"\{'(.)'\}", r"\1", text)


def files(root: Path, en: Texts) -> dict[Path, str]:
    """The files that are written from the English texts and their translations, with what belongs in them."""
    written = {root / "locales/en/nodeDefs.json": json.dumps(en, indent=2, ensure_ascii=False) + "\n"}
    for language, headings in HEADINGS.items():
        locale = root / f"locales/{language}/nodeDefs.json"
        translated = en if language == "en" else json.loads(locale.read_text(encoding="utf-8"))
        for node, texts in en.items():
            page = root / "web/docs" / (f"{node}.md" if language == "en" else f"{node}/{language}.md")
            if not page.exists():
                sys.exit(f"{page} is missing; write the help page, with a pair of markers for each table.")
            text = page.read_text(encoding="utf-8")
            for part, heading in headings.items():
                own = translated.get(node, {}).get(part, {})
                if lacking := texts[part].keys() - own.keys():
                    sys.exit(f"{locale} lacks {part} of {node}: {', '.join(sorted(lacking))}; translate them.")
                text = with_table(text, part, table(heading, texts[part], own), page)
            written[page] = text
    return written


def table(heading: str, en: Texts, translated: Texts) -> str:
    """A Markdown table of inputs or outputs: the name on the node in English, its translation, and the tooltip."""
    rows = [f"| {heading} |", "|---|---|"]
    for key, source in en.items():
        name, own = source["name"], translated[key]
        label = f"`{name}`" if own["name"] == name else f"`{name}` {unescaped(own['name'])}"
        tooltip = unescaped(own["tooltip"]).replace("|", "\\|")
        rows.append(f"| {label} | {tooltip} |")
    return "\n".join(rows)


def with_table(text: str, part: str, rows: str, page: Path) -> str:
    """The page's text with these rows between the markers of that part, where only table rows may stand."""
    begin, end = f"<!-- {part} -->\n", "<!-- end -->"
    replaced, count = re.subn(f"{begin}(?:\\|.*\n)*{end}", lambda _: f"{begin}{rows}\n{end}", text)
    if count != 1:
        sys.exit(f"{page} needs one {begin.strip()} with {end} after it, and nothing but the table between them.")
    return replaced


if __name__ == "__main__":
    main()
