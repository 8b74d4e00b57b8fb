"""`python -m benchmarks.tables --check` and `--write`."""

from __future__ import annotations

import argparse
import sys

from benchmarks.tables import BLOCK, DOCUMENTS, ROOT, rewritten


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tables", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true", help="end with 1 when a block is not what the results give")
    what.add_argument("--write", action="store_true", help="rewrite the blocks")
    options = parser.parse_args()
    stale = []
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        new = rewritten(text)
        blocks = zip(BLOCK.finditer(text), BLOCK.finditer(new))
        stale += [f"{path.relative_to(ROOT)}: {old[2]}" for old, now in blocks if old[0] != now[0]]
        if options.write:
            path.write_text(new, encoding="utf-8")
    print("\n".join(stale) or "every block is what the results give")
    sys.exit(options.check and bool(stale))


if __name__ == "__main__":
    main()
