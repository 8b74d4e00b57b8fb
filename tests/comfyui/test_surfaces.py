"""Python, the command line and the nodes: the same settings, with the same defaults."""

from __future__ import annotations

import inspect
from dataclasses import asdict, fields
from typing import Any

import pytest

from pez_core import SearchSettings, command_line, tasks
from pez_core.command_line.options import chosen
from pez_core.encoders.conditioning import MODES, POOLED
from pez_core.language import FitSettings, Template
from pez_core.vocabulary import TOKEN_FILTERS

SEARCHING = ("PEZImageToHardPrompt", "PEZStyleExtract", "PEZNegativePrompt")
SOCKET_NAMES = {"tokens": "prompt_length"}
NOTHING = {None: 0, (): ""}
PYTHON_ONLY = {"pool", "validate_every", "keep", "swaps", "weight_decay"}


@pytest.fixture(scope="module")
def nodes(server) -> dict[str, dict[str, Any]]:
    """For each of our nodes, the options of its inputs by name."""
    found = {name: info for name, info in server.get("/object_info").items() if name.startswith("PEZ")}
    return {
        name: {key: spec for part in ("required", "optional") for key, spec in info["input"].get(part, {}).items()}
        for name, info in found.items()
    }


def parsed(*arguments: str):
    return command_line._parser().parse_args(arguments)


def as_a_node_has_it(settings: object, leave_out: set[str]) -> dict[str, Any]:
    """Settings by socket, as widgets hold them: 0 for no limit, an empty text for no phrases."""
    values = {name: value for name, value in asdict(settings).items() if name not in leave_out}
    return {SOCKET_NAMES.get(name, name): NOTHING.get(value, value) for name, value in values.items()}


def defaults(inputs: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: inputs[name][1]["default"] for name in names & set(inputs)}


@pytest.mark.parametrize("command", ["invert", "style", "negative", "distill"])
def test_a_search_from_the_command_line_has_the_defaults_of_python(command):
    assert chosen(SearchSettings, parsed(command, "something")) == SearchSettings()


def test_nodes_have_every_setting_of_a_search_with_its_default(nodes):
    expected = as_a_node_has_it(SearchSettings(), set())
    for node in SEARCHING:
        own = defaults(nodes[node], set(expected))
        settings = defaults(nodes["PEZSearchSettings"], set(expected))
        assert own | settings == expected
        assert not own.keys() & settings.keys(), "a setting stands in one place"


def test_a_fit_has_the_same_defaults_everywhere(nodes):
    fit = ("classify", "fit", "--model", "m", "--train", "t.tsv", "--out", "o", "--verbalizer", "0=bad,1=good")
    assert chosen(FitSettings, parsed(*fit)) == FitSettings()
    expected = as_a_node_has_it(FitSettings(), PYTHON_ONLY)
    assert defaults(nodes["PEZClassificationPrompt"], set(expected)) == expected
    assert nodes["PEZClassificationPrompt"]["template"][1]["default"] == Template().pattern


def test_python_only_settings_of_a_fit_are_named_as_such():
    assert {field.name for field in fields(FitSettings)} >= PYTHON_ONLY
    assert all(f"`{name}`" in inspect.getdoc(FitSettings) for name in PYTHON_ONLY)


def test_joining_and_shortening_are_the_same_everywhere(nodes):
    assert (
        parsed("concat", "a", "b").separator == tasks.SEPARATOR == nodes["PEZPromptConcat"]["separator"][1]["default"]
    )
    assert inspect.signature(tasks.concat).parameters["separator"].default == tasks.SEPARATOR
    shorten, node = parsed("distill", "a"), nodes["PEZPromptDistill"]
    assert (shorten.ratio, shorten.mode) == (tasks.RATIO, POOLED)
    assert (node["ratio"][1]["default"], node["mode"][1]["default"]) == (tasks.RATIO, POOLED)
    assert tuple(node["mode"][1].get("options") or node["mode"][0]) == MODES


def test_what_pictures_and_words_may_be_named_is_the_same_everywhere(nodes):
    for command, other in (("invert", "--avoid"), ("style", "--avoid"), ("negative", "--keep")):
        assert parsed(command, "a.png", other, "b.png").others
    for node, other in zip(SEARCHING, ("avoid", "avoid", "keep")):
        assert other in nodes[node]
    filters = nodes["PEZSearchSettings"]["token_filter"]
    assert tuple(filters[1].get("options") or filters[0]) == TOKEN_FILTERS
