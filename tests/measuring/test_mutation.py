"""The mutation run: what it names exists, its results add up, and the documentation tells them all."""

import json
from pathlib import Path

import pytest

from benchmarks.mutation import RESULTS, SLOW, TESTS, summary

ROOT = Path(__file__).parents[2]
DOCUMENTED = (ROOT / "docs" / "mutation.md").read_text(encoding="utf-8")
ROWS = json.loads(RESULTS.read_text(encoding="utf-8"))["rows"]


def test_every_module_and_test_that_it_names_exists():
    for name in (*TESTS, *(test for tests in TESTS.values() for test in tests), *SLOW):
        path, _, function = name.partition("::")
        assert f"def {function}" in (ROOT / path).read_text(encoding="utf-8")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["module"])
def test_a_mutant_was_killed_or_is_among_the_survivors(row):
    assert row["killed"] + len(row["survivors"]) == row["mutants"]


def test_the_documentation_quotes_the_table():
    assert summary() in DOCUMENTED


def test_the_documentation_names_every_function_with_survivors():
    for row in ROWS:
        section = DOCUMENTED.partition(f"### {row['module']}")[2].partition("\n### ")[0]
        for survivor in row["survivors"]:
            assert f"`{survivor['function']}`" in section
