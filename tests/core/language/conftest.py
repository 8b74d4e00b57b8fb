"""The small language model, loaded, and its task."""

import pytest
from tiny_language import make_examples

from pez_core.language import Task, Template, Verbalizer, load_language_model


@pytest.fixture(scope="session")
def model(model_folder):
    return load_language_model(model_folder)


@pytest.fixture(scope="session")
def verbalizer():
    return Verbalizer({"bad": ("terrible",), "good": ("great",)})


@pytest.fixture
def task(model, verbalizer):
    return Task(model, Template(), verbalizer)


@pytest.fixture(scope="session")
def examples():
    return make_examples
