"""Options that several commands share, and the settings that they give."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import TypeVar

import torch

from ..settings import Settings
from ..vocabulary import TOKEN_FILTERS

S = TypeVar("S", bound=Settings)


def output_options() -> argparse.ArgumentParser:
    """Where to compute, and how to print."""
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options.add_argument("--json", action="store_true", help="print the whole result as one line of JSON")
    return options


def settings_options(default: Settings) -> argparse.ArgumentParser:
    """What every search is told."""
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--tokens", type=int, help=f"length of the prompt (default {default.tokens})")
    options.add_argument("--steps", type=int, default=default.steps)
    options.add_argument("--candidates", type=int, default=default.candidates, help="searches run together")
    options.add_argument("--seed", type=int, default=default.seed)
    options.add_argument("--learning-rate", type=float, default=default.learning_rate)
    options.add_argument("--token-filter", choices=TOKEN_FILTERS, default=default.token_filter)
    options.add_argument(
        "--block",
        dest="blocklist",
        action="append",
        default=[],
        metavar="PHRASE",
        help="words never to use; repeatable",
    )
    options.add_argument("--time-budget", type=float, metavar="SECONDS")
    return options


def chosen(kind: type[S], options: argparse.Namespace) -> S:
    """The settings that the options name; the others, and `tokens` where no length is given, stay as they are."""
    given = {field.name: getattr(options, field.name) for field in fields(kind) if hasattr(options, field.name)}
    if given["tokens"] is None:
        del given["tokens"]
    return kind(**{**given, "blocklist": tuple(given["blocklist"])})
