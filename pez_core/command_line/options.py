"""Commands, the options that several of them share, and the settings that these give."""

import argparse
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any, TypeVar

from ..device.choice import best_device
from ..settings import Settings
from ..vocabulary import TOKEN_FILTERS

S = TypeVar("S", bound=Settings)
Run = Callable[[argparse.Namespace], int]
Group = Callable[[argparse.ArgumentParser], None]


def add_command(commands: Any, name: str, text: str, run: Run, *groups: Group) -> argparse.ArgumentParser:
    """A command that `run` carries out and gives the exit code of, with its groups of options in their order."""
    command: argparse.ArgumentParser = commands.add_parser(name, help=text)
    command.set_defaults(run=run)
    for group in groups:
        group(command)
    return command


def device_option(options: argparse.ArgumentParser) -> None:
    """Where to compute."""
    options.add_argument("--device", default=str(best_device()), help="where to compute (default %(default)s)")


def output_options(options: argparse.ArgumentParser) -> None:
    """Where to compute, and how to print."""
    device_option(options)
    options.add_argument("--json", action="store_true", help="print the whole result as one line of JSON")


def settings_options(default: Settings, options: argparse.ArgumentParser) -> None:
    """What every search is told. Settings without an option, or whose option is not given, are those of `default`."""
    options.set_defaults(**{**asdict(default), "tokens": None, "blocklist": []})
    options.add_argument("--tokens", type=int, help=f"length of the prompt (default {default.tokens})")
    options.add_argument("--steps", type=int)
    options.add_argument("--candidates", type=int, help="searches run together")
    options.add_argument("--seed", type=int)
    options.add_argument("--learning-rate", type=float)
    options.add_argument("--token-filter", choices=TOKEN_FILTERS)
    block = "words never to use; repeatable"
    options.add_argument("--block", dest="blocklist", action="append", metavar="PHRASE", help=block)
    options.add_argument("--time-budget", type=float, metavar="SECONDS")


def chosen(kind: type[S], options: argparse.Namespace) -> S:
    """The settings that the options name; `tokens` stays as it is where no length is given."""
    given = {field.name: getattr(options, field.name) for field in fields(kind)}
    if given["tokens"] is None:
        del given["tokens"]
    return kind(**given)
