"""The committed results: complete, and what the documentation quotes."""

import json
from pathlib import Path

import pytest

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
SPEED = {
    "tower", "device", "tokens", "candidates", "seconds_per_step", "reference_seconds_per_step", "ratio_per_step",
    "ratio_per_candidate_step", "peak_extra_bytes", "encoder_bytes",
}  # fmt: skip
QUALITY = {"method", "picture", "held_out", "seconds", "similarity", "concept_rank", "style_match"}


@pytest.mark.parametrize(("name", "fields"), [("speed", SPEED), ("quality", QUALITY)])
def test_rows_have_their_fields_and_the_file_says_where_it_is_from(name, fields):
    result = json.loads((RESULTS / f"{name}.json").read_text())
    assert {"command", "date", "device", "torch", "python"} <= set(result)
    assert result["command"].startswith(f"python -m benchmarks.{name}")
    assert result["rows"] and all(fields <= set(row) for row in result["rows"])


def test_the_documentation_quotes_every_row_of_the_speed():
    rows = json.loads((RESULTS / "speed.json").read_text())["rows"]
    documented = (RESULTS.parents[1] / "docs" / "results.md").read_text(encoding="utf-8")
    for row in (row for row in rows if row["targets"] == 1):
        milliseconds = (f"{row[name] * 1e3:.0f}" for name in ("seconds_per_step", "reference_seconds_per_step"))
        ratios = (f"{row[name]:.1f}" for name in ("ratio_per_step", "ratio_per_candidate_step"))
        cells = [row["tower"], str(row["tokens"]), str(row["candidates"]), *milliseconds, *ratios]
        assert f"| {' | '.join(cells)} |" in documented


def test_every_method_was_tried_on_the_same_hundred_pictures():
    rows = json.loads((RESULTS / "quality.json").read_text())["rows"]
    pictures = {}
    for row in rows:
        pictures.setdefault(row["method"], set()).add(row["picture"])
    full = [names for method, names in pictures.items() if "3000" not in method]
    assert len(full) == 4 and all(names == full[0] for names in full)
    assert len(full[0]) >= 100


def test_the_documentation_quotes_every_point_of_the_studies():
    result = json.loads((RESULTS / "studies.json").read_text())
    documented = (RESULTS.parents[1] / "docs" / "results.md").read_text(encoding="utf-8")
    assert {"caption", "length", "candidates", "readability", "distillation"} == {p["study"] for p in result["points"]}
    for point in result["points"]:
        assert f"{point['similarity']:.3f}" in documented
        if point["second_similarity"] is not None:
            assert f"{point['second_similarity']:.3f}" in documented


def test_every_method_classified_with_every_amount_of_data_and_three_seeds():
    result = json.loads((RESULTS / "classify.json").read_text(encoding="utf-8"))
    documented = (RESULTS.parents[1] / "docs" / "results.md").read_text(encoding="utf-8")
    cells: dict[tuple, list[dict]] = {}
    for row in result["rows"]:
        cells.setdefault((row["task"], row["examples_per_class"], row["method"], row["fluency"]), []).append(row)
    learned = {cell: rows for cell, rows in cells.items() if cell[2] != "template"}
    assert len(learned) == 2 * (3 * 5 + 2) and all(len({row["seed"] for row in rows}) == 3 for rows in learned.values())
    for rows in cells.values():
        assert f"{100 * sum(row['accuracy'] for row in rows) / len(rows):.1f}" in documented
