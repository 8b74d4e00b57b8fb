"""The figures in the documents: every one is computed from the results, and none stands outside the computed blocks."""

import re

import pytest

from benchmarks.tables import BLOCK, BLOCKS, DOCUMENTS, quality, rewritten, speed, studies

MEASURED = re.compile(r"\d+\.\d+|\d+ ?%|\d+ (?:seconds|minutes|hours|ms|s|times|points)\b")
CODE = re.compile(r"`[^`]*`|\]\([^)]*\)")


def blocks():
    return [match[2] for path in DOCUMENTS for match in BLOCK.finditer(path.read_text(encoding="utf-8"))]


def sections(path):
    """Headings of a document, each with what follows it."""
    _, *parts = re.split(r"^## ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(part.split("\n", 1) for part in parts)


def row(method, steps, picture, similarity, seconds=1.0, style=True, rank=1, held_out=False, untouched=True):
    return {
        "method": method, "steps": steps, "picture": picture, "similarity": similarity, "seconds": seconds,
        "style_match": style, "concept_rank": rank, "held_out": held_out, "untouched": untouched,
    }  # fmt: skip


@pytest.mark.parametrize("name", BLOCKS)
def test_the_documents_say_what_the_results_give(name):
    """After `python -m benchmarks.tables --write` they do."""
    assert blocks().count(name) == 1
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        if name in (match[2] for match in BLOCK.finditer(text)):
            assert rewritten(text, only=name) == text


def test_every_block_is_one_that_can_be_computed():
    assert set(blocks()) == set(BLOCKS)


def test_no_figure_stands_outside_the_blocks():
    readme, results = (sections(path) for path in DOCUMENTS)
    for text in (readme["Results"], *results.values()):
        prose = CODE.sub("", BLOCK.sub("", text))
        assert MEASURED.findall(prose) == []


def test_a_difference_is_told_by_mean_median_worst_and_how_often_behind():
    gains = [-0.3, 0.0, 0.1, 0.2]
    rows = [row("published", 60, str(number), 0.5) for number in range(4)]
    rows += [row("ours", 60, str(number), 0.5 + gain, seconds=0.5) for number, gain in enumerate(gains)]
    rows += [row("ours", 60, "another picture", 1.0), row("ours", 300, "0", 1.0)]
    found = quality.compared(rows, "ours", 60, "published", 60)
    assert found.told == "+0.000 on average (median +0.050, worst −0.300, behind on 1 of 4)"
    assert found.time == 0.5
    assert found.largest_share == "–"


def test_the_largest_gains_are_told_where_the_sum_is_a_gain():
    rows = [row("published", 60, str(number), 0.0) for number in range(100)]
    gains = [1.0] * quality.LARGEST + [0.1] * (100 - quality.LARGEST)
    few = [row("ours", 60, str(number), gain) for number, gain in enumerate(gains)]
    assert quality.compared(rows + few, "ours", 60, "published", 60).largest_share == "55 %"
    worse = [row("ours", 60, str(number), -gain) for number, gain in enumerate(gains)]
    assert quality.compared(rows + worse, "ours", 60, "published", 60).largest_share == "–"


def test_differences_come_least_flattering_first_and_at_the_steps_that_were_asked():
    rows = [row(f"published, {name}", steps, "0", 0.5) for name in "ab" for steps in (60, 300, 3000)]
    rows += [row("ours, x", 60, "0", 0.9), row("ours, y", 60, "0", 0.4), row("ours, y", 300, "0", 0.6)]
    equal, less = (
        [line.split(" | ")[:2] for line in quality.differences({"rows": rows}, equal_time).splitlines()[2:]]
        for equal_time in (True, False)
    )
    assert [ours for ours, _ in equal] == ["| ours, y, 60"] * 2 + ["| ours, y, 300"] * 2 + ["| ours, x, 60"] * 2
    assert {tuple(pair) for pair in less} == {
        (f"| ours, {mine}", f"published, {name}, {steps}")
        for mine, steps in (("x, 60", 300), ("y, 60", 300), ("y, 300", 3000))
        for name in "ab"
    }


def test_the_strongest_form_is_the_one_with_the_highest_mean():
    ours = [row(quality.BEST_OF_OURS, steps, "0", 0.9) for steps in (60, 300)]
    forms = [row("published", 60, "0", 0.9), row("published", 300, "0", 0.6), row("published, re-read", 300, "0", 0.7)]
    assert quality.strongest(ours + forms) == "published, re-read"


def test_a_method_is_told_with_shares_and_counts_of_the_pictures_that_all_have():
    rows = [
        row("published", 60, f"{number}", 0.1 * number, held_out=number > 2, style=number > 1) for number in range(4)
    ]
    rows.append(row("ours", 60, "0", 0.9))
    (line,) = quality.methods({"rows": rows}, untouched=False).splitlines()[2:]
    assert line.split(" | ")[2:] == [
        "0.100", "0.300", "0.000", "100 % (3 of 3)", "100 % (1 of 1)", "33 % (1 of 3)", "100 % (1 of 1) |",
    ]  # fmt: skip


def test_first_steps_that_differ_are_told_with_the_difference_of_cosines():
    loops = [{"lead": lead} for lead in (None, 1.2e-7, 3e-8)]
    told = quality.loops({"loops": loops})
    assert "on 1 of 3 pictures" in told and "differ by at most 1e-07." in told
    assert quality.loops({"loops": loops[:1]}).endswith("on 1 of 1 pictures.")


def size(tokens, candidates, seconds):
    return {"tower": "T", "tokens": tokens, "candidates": candidates, "seconds_per_step": seconds}


def test_growth_is_told_against_tokens_times_candidates():
    found = speed.growths([size(8, 1, 1.0), size(16, 1, 2.2), size(8, 2, 1.5), size(4, 4, 9.0)])
    assert {(growth.smaller, growth.larger, round(growth.factor, 2)) for growth in found} == {
        ((8, 1), (16, 1), 1.1),
        ((8, 1), (8, 2), 0.75),
    }


def test_comfyuis_towers_are_told_against_the_shortest_published_step():
    rest = {"share_of_matmul_peak": 0.5, "peak_extra_bytes": 1, "encoder_bytes": 10, "targets": 1}
    rest |= {"ratio_per_step": 1.0, "ratio_per_candidate_step": 1.0}
    rows = [
        {**size(16, 1, 1.0), **rest, "reference_seconds_per_step": 6.0},
        {**size(16, 8, 3.0), **rest, "reference_seconds_per_step": 4.0},
    ]
    assert "Against the shortest, a step of one candidate is 4.0 times as fast on T." in speed.comfyui({"rows": rows})


def test_the_length_that_transfers_is_told_with_those_within_its_error():
    lengths = [("4", 0.5, 0.36), ("8", 0.6, 0.40), ("16", 0.7, 0.30)]
    points = [
        {
            "study": "length", "setting": setting, "similarity": first, "standard_error": 0.01, "prompts": 12,
            "judged": second, "judged_error": 0.05, "generated": 0.2, "generated_error": 0.0,
        }
        for setting, first, second in lengths
    ]  # fmt: skip
    told = studies.transfer({"points": [*points, {**points[0], "study": "caption"}]})
    assert told.startswith("Similarity that is climbed, the captions have 0.500 ± 0.010 and the best length is 16,")
    assert "by judges, the captions have 0.360 ± 0.050 and the best length is 8, with 0.400, with 4 within" in told
