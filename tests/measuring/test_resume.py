"""Result files from which an interrupted run continues."""

import json

import pytest

from benchmarks import resume

HEAD = {"date": "today", "rows": []}


def test_a_run_begins_with_the_head_and_goes_on_with_the_file(tmp_path):
    path = tmp_path / "result.json"
    result = resume.load(path, HEAD)
    assert result == HEAD
    result["rows"] = [1]
    resume.save(path, result)
    assert resume.load(path, {"date": "tomorrow", "rows": []}) == {"date": "today", "rows": [1]}


def test_a_result_that_cannot_be_written_leaves_the_old_file(tmp_path):
    path = tmp_path / "result.json"
    resume.save(path, HEAD)
    with pytest.raises(TypeError):
        resume.save(path, {"rows": [object()]})
    assert json.loads(path.read_text()) == HEAD
    assert [file.name for file in tmp_path.iterdir()] == ["result.json"]


def test_without_a_file_nothing_is_written():
    resume.save(None, HEAD)
    assert resume.load(None, HEAD) == HEAD
