"""The programs in the documents run as they are written."""

import doctest
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("document", ["docs/architecture.md"])
def test_a_documents_program_runs(document, monkeypatch):
    monkeypatch.chdir(ROOT)
    failed, tried = doctest.testfile(str(ROOT / document), module_relative=False)
    assert tried and not failed
