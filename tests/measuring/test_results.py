"""The committed results: complete, and from the commands that the documentation names."""

import json
import statistics

import pytest

from benchmarks import sheets
from benchmarks.applications import APPLICATIONS as APPLICATIONS_RUN
from benchmarks.applications import ROUNDS
from benchmarks.judging import FINAL, ON_THE_WAY
from benchmarks.miniature import DATA
from benchmarks.quality import LONG, OURS, PUBLISHED, REREAD, SHORT, WITH_EQUAL_TIME
from benchmarks.quality import STEPS as WHOLE
from benchmarks.studies import PROMPTS, works
from benchmarks.tables import RESULTS, result
from benchmarks.tables.worth import judged
from benchmarks.worth import METHODS

SPEED = {
    "tower", "device", "tokens", "candidates", "seconds_per_step", "reference_seconds_per_step", "ratio_per_step",
    "ratio_per_candidate_step", "peak_extra_bytes", "encoder_bytes",
}  # fmt: skip
QUALITY = {"method", "picture", "held_out", "seconds", "similarity", "concept_rank", "style_match"}
WORTH = {
    "method", "picture", "held_out", "prompt", "inner", "judges", "generated", "rank", "style_match",
    "background_match", "meaning", "perplexity", "seconds",
}  # fmt: skip
APPLICATIONS = {"application", "way", "trial", "prompt", "named", "style_match", "similarity"}
PUBLISHED_FORMS = (PUBLISHED, *REREAD.values())


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("speed", SPEED),
        ("speed-comfyui", SPEED),
        ("quality", QUALITY),
        ("worth", WORTH),
        ("applications", APPLICATIONS),
    ],
)
def test_rows_have_their_fields_and_the_file_says_where_it_is_from(name, fields):
    found = json.loads((RESULTS / f"{name}.json").read_text())
    assert {"command", "date", "device", "torch", "python"} <= set(found)
    assert found["command"].startswith(f"python -m benchmarks.{name.partition('-')[0]}")
    assert found["rows"] and all(fields <= set(row) for row in found["rows"])


def test_every_method_was_tried_on_the_same_hundred_pictures_once():
    rows = result("quality")["rows"]
    everywhere = [(form, steps) for form in PUBLISHED_FORMS for steps in (SHORT, WHOLE)] + [(m, SHORT) for m in OURS]
    untouched = [(form, LONG) for form in PUBLISHED_FORMS] + [(method, WHOLE) for method in WITH_EQUAL_TIME]
    tried: dict[tuple[str, int], list[str]] = {}
    for row in rows:
        tried.setdefault((row["method"], row["steps"]), []).append(row["picture"])
    assert set(tried) == {*everywhere, *untouched}
    pictures = {row["picture"] for row in rows}
    new = {row["picture"] for row in rows if row["untouched"]}
    assert len(pictures) == 100 and len(new) == 20
    assert all(sorted(tried[cell]) == sorted(pictures) for cell in everywhere)
    assert all(sorted(tried[cell]) == sorted(new) for cell in untouched)


def test_ours_kept_to_its_time_on_average():
    rows = result("quality")["rows"]
    taken = {(row["picture"], row["steps"]): row["seconds"] for row in rows if row["method"] == PUBLISHED}
    for method, steps in [(method, SHORT) for method in OURS] + [(method, WHOLE) for method in WITH_EQUAL_TIME]:
        some = [row for row in rows if (row["method"], row["steps"]) == (method, steps)]
        assert statistics.mean(row["seconds"] / taken[row["picture"], steps] for row in some) < 1.1, (method, steps)


def test_every_method_was_asked_its_worth_on_all_pictures_by_every_judge():
    found, facts = result("worth"), sheets.read(DATA, "worth").facts
    assert found["judges"] == [*ON_THE_WAY, FINAL] and all(
        set(row["judges"]) == {*ON_THE_WAY, FINAL} for row in found["rows"]
    )
    pictures = {fact["tile"]: fact["held_out"] for fact in facts}
    assert len(pictures) >= 100 and set(pictures.values()) == {False, True}
    for method in METHODS:
        rows = {row["picture"]: row["held_out"] for row in found["rows"] if row["method"] == method}
        assert rows == pictures, method
    assert len(found["rows"]) == len(METHODS) * len(pictures)


def test_prompts_found_by_language_are_worth_more_outside_than_those_of_the_descent():
    rows = [row for row in result("worth")["rows"] if not row["held_out"]]
    mean = lambda method, of: statistics.mean(of(row) for row in rows if row["method"] == method)  # noqa: E731
    for of in (lambda row: row["generated"], judged, lambda row: row["rank"] == 1, lambda row: row["meaning"]):
        assert mean("ours", of) > mean("descent", of)
        assert mean("refined from a caption of another picture", of) > mean("descent", of)
    assert mean("ours", lambda row: row["seconds"]) < mean("descent", lambda row: row["seconds"])


def test_every_application_was_tried_as_often_in_every_way():
    found = result("applications")
    assert found["judge"] == FINAL
    for application in APPLICATIONS_RUN:
        trials: dict[str, list[int]] = {}
        for row in (row for row in found["rows"] if row["application"] == application):
            trials.setdefault(row["way"], []).append(row["trial"])
        assert len(trials) >= 2 and all(sorted(some) == list(range(ROUNDS)) for some in trials.values())


def test_every_point_of_the_studies_was_measured_on_as_many_prompts():
    found = result("studies")["points"]
    assert {(p["study"], p["setting"]) for p in found} == {(work.study, work.setting) for work in works()}
    assert {point["prompts"] for point in found} == {PROMPTS}
    assert all({"judged", "generated"} <= set(point) for point in found)


def test_every_method_classified_with_every_amount_of_data_and_three_seeds():
    cells: dict[tuple, list[dict]] = {}
    for row in result("classify")["rows"]:
        cells.setdefault((row["task"], row["examples_per_class"], row["method"], row["fluency"]), []).append(row)
    learned = {cell: rows for cell, rows in cells.items() if cell[2] != "template"}
    assert len(learned) == 2 * (3 * 5 + 2) and all(len({row["seed"] for row in rows}) == 3 for rows in learned.values())
