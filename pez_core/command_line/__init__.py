"""The command line, pez or python -m pez_core: its commands, and the code that each exits with."""

import argparse
import sys
from collections.abc import Sequence

from ..errors import PezError
from . import classify, folder, prompts


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it printed a prompt, 2 when an input was refused, and what `folder` says of pictures."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except PezError as error:
        print(f"pez: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pez", description="Find short text prompts by gradient descent.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    prompts.add(commands)
    folder.add(commands)
    classify.add(commands)
    return parser
