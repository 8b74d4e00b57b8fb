"""HardPrompt and SearchSettings: what is refused, and JSON there and back."""

import json
import math

import pytest

from pez_core import HardPrompt, PezError, SearchSettings


def test_the_rates_are_the_published_ones():
    settings = SearchSettings()
    assert (settings.learning_rate, settings.weight_decay) == (0.1, 0.1)


@pytest.mark.parametrize("tokens", [-1, 0])
def test_prompt_lengths_outside_the_context_are_refused(tokens):
    with pytest.raises(PezError, match=f"^tokens is {tokens}; choose 1 or more"):
        SearchSettings(tokens=tokens)


@pytest.mark.parametrize("name", ["steps", "candidates", "batch", "time_budget"])
def test_other_settings_must_be_positive(name):
    with pytest.raises(PezError, match=name.replace("_", " ")):
        SearchSettings(**{name: 0})


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("learning_rate", (-1.0, 0.0, math.nan, math.inf)),
        ("weight_decay", (-1.0, math.nan, math.inf)),
        ("refinement", (-0.1, math.nan, math.inf, 1e9)),
        ("word_preference", (-0.1, math.nan, math.inf)),
        ("time_budget", (-1.0, 0.0, math.nan, math.inf)),
        ("seed", (-1, 2**64)),
    ],
)
def test_values_that_no_search_can_use_are_refused(name, values):
    for value in values:
        with pytest.raises(PezError, match=rf"^{name.replace('_', ' ')} is .*; choose .*\.$"):
            SearchSettings(**{name: value})
    SearchSettings(seed=2**64 - 1, weight_decay=0.0, refinement=0.0)


def test_json_gives_the_result_back():
    settings = SearchSettings(seed=7, blocklist=("a", "b"))
    result = HardPrompt("invert", "milky wäy 🌌", (1, 2), 0.5, "embedded", settings, (0.1, 0.5))
    assert HardPrompt.from_json(result.to_json()) == result
    fields = json.loads(result.to_json())
    assert (fields["text"], fields["seed"], fields["history"]) == ("milky wäy 🌌", 7, [0.1, 0.5])


def test_a_result_without_a_search_has_no_settings():
    result = HardPrompt("concat", "a b", (1, 2), 0.5, "embedded")
    assert result.seed is None and HardPrompt.from_json(result.to_json()) == result
