"""The small language model, loaded, and a classifier on it."""

import pytest
import tiny_language

from pez_core.language import Classifier, Template, Verbalizer, load_language_model


@pytest.fixture(scope="session")
def model(model_folder):
    return load_language_model(model_folder)


@pytest.fixture(scope="session")
def verbalizer():
    return Verbalizer({"bad": ("terrible",), "good": ("great",)})


@pytest.fixture
def classifier(model, verbalizer):
    return Classifier(model, Template(), verbalizer)


@pytest.fixture(scope="session")
def as_lists():
    """An offer as lists that can be compared: ids, scores, and what is reported."""

    def lists(offer):
        assert offer.ids.shape[:1] == offer.verdict.score.shape == offer.verdict.reported.shape
        return offer.ids.tolist(), offer.verdict.score.tolist(), offer.verdict.reported.tolist()

    return lists


@pytest.fixture(scope="session")
def make_examples():
    """So many examples, by a seed."""
    return tiny_language.make_examples
