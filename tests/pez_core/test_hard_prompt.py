"""HardPrompt and SearchSettings: what is refused, and JSON there and back."""

import json

import pytest

from pez_core import HardPrompt, PezError, SearchSettings


def test_the_defaults_are_the_published_ones():
    settings = SearchSettings()
    assert (settings.tokens, settings.learning_rate, settings.weight_decay) == (16, 0.1, 0.1)


@pytest.mark.parametrize("tokens", [-1, 0, 76])
def test_prompt_lengths_outside_the_context_are_refused(tokens):
    with pytest.raises(PezError, match=f"prompt length is {tokens}; choose 1 to 75 tokens"):
        SearchSettings(tokens=tokens)


@pytest.mark.parametrize("name", ["steps", "candidates", "batch", "time_budget"])
def test_other_settings_must_be_positive(name):
    with pytest.raises(PezError, match=name.replace("_", " ")):
        SearchSettings(**{name: 0})


def test_json_gives_the_result_back():
    settings = SearchSettings(seed=7, blocklist=("a", "b"))
    result = HardPrompt("invert", "milky wäy 🌌", (1, 2), 0.5, "embedded", settings, (0.1, 0.5))
    assert HardPrompt.from_json(result.to_json()) == result
    fields = json.loads(result.to_json())
    assert (fields["text"], fields["seed"], fields["history"]) == ("milky wäy 🌌", 7, [0.1, 0.5])


def test_a_result_without_a_search_has_no_settings():
    result = HardPrompt("concat", "a b", (1, 2), 0.5, "embedded")
    assert result.seed is None and HardPrompt.from_json(result.to_json()) == result
