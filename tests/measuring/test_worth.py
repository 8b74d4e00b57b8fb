"""The worth of prompts: judges, yardsticks, and what an interrupted run does."""

import json
import math
import shutil

import pytest
import torch
from safetensors.torch import save_file

from benchmarks import sheets, worth
from benchmarks.judging import TRUTH, Judge, Truth, load_judge
from benchmarks.miniature import Miniature
from benchmarks.tables import worth as tables
from pez_core.encoders.embedded import FOLDER
from pez_core.encoders.open_clip import FILES

NAMES, STYLES, COLOURS = ["cat", "dog", "sun"], ["flat", "glossy"], ["red", "blue"]


@pytest.fixture(scope="module")
def judge(encoder):
    """The embedded model as a judge of one picture: a flat cat on red."""

    def features(*texts):
        return torch.cat([encoder.encode_text(text) for text in texts])

    truth = Truth(
        features(*NAMES),
        features(*(f"a {style} drawing of cat" for style in STYLES))[None],
        features(*(f"a flat drawing of cat on a {colour} background" for colour in COLOURS))[None],
        NAMES,
        STYLES,
        COLOURS,
    )
    return Judge("embedded", encoder, features("a flat drawing of cat on a red background"), truth)


def test_a_judge_tells_concept_style_and_background_of_a_text(encoder, judge):
    said = encoder.encode_text("a glossy drawing of dog on a blue background")[0]
    assert judge.concept_rank(said, "dog") == 1 and judge.concept_rank(said, "sun") > 1
    assert (judge.style(said, 0), judge.background(said, 0)) == ("glossy", "blue")
    same = encoder.encode_text("a flat drawing of cat on a red background")[0]
    assert (judge.style(same, 0), judge.background(same, 0)) == ("flat", "red")
    assert judge.similarity("a flat drawing of cat on a red background", 0) == pytest.approx(1, abs=1e-5)


def test_a_judge_is_an_open_clip_folder_with_its_truth(tmp_path, judge):
    folder = tmp_path / "some"
    folder.mkdir()
    for file in FILES:
        shutil.copy(FOLDER / file, folder)
    truth = judge.truth
    tensors = {"concepts": truth.concepts, "styles": truth.styles, "backgrounds": truth.backgrounds}
    names = {"names": NAMES, "styles": STYLES, "backgrounds": COLOURS}
    save_file(
        {name: value.half() for name, value in tensors.items()},
        folder / TRUTH,
        {name: json.dumps(value) for name, value in names.items()},
    )
    pictures = sheets.read(worth.DATA, "worth").pixels[:2]
    loaded = load_judge("some", pictures, tmp_path)
    assert loaded.truth.names == NAMES and loaded.pictures.shape == (2, 256)
    assert torch.allclose(loaded.truth.styles, truth.styles, atol=1e-3)


def test_the_pictures_are_new_and_enough():
    facts = sheets.read(worth.DATA, "worth").facts
    old = {fact["concept"] for name in ("training", "held-out") for fact in sheets.read(worth.DATA, name).facts}
    assert len(facts) >= 100 and not old & {fact["concept"] for fact in facts}
    assert {fact["held_out"] for fact in facts} == {False, True}


def test_methods_are_deterministic_where_no_time_rules_them(encoder, judge):
    fact = {"concept": "cat", "style": "flat", "colour": "red"}
    here = Miniature(encoder, [], [fact], judge.pictures, [judge], None)
    assert worth.random_words(here, 0) == worth.random_words(here, 0) != worth.random_words(here, 1)
    assert len(encoder.vocabulary.encode(worth.random_words(here, 0))) == worth.TOKENS
    assert worth.other_caption(here, 0) == "a glossy drawing of cat on a blue background"


def row(method, picture, generated, held_out=False, **changes):
    return {
        "method": method, "picture": picture, "held_out": held_out, "prompt": "", "tokens": 8, "inner": 0.5,
        "judges": {"a": 0.2, "b": 0.4}, "generated": generated, "rank": 1, "style_match": True,
        "background_match": True,
        "generated_first": 0.0, "generated_style": 0.0, "generated_background": 0.0, "meaning": 0.1, "perplexity": 9.0,
        "seconds": 1.0,
    } | changes  # fmt: skip


RESULT = {
    "device": "a machine", "threads": 1, "torch": "2", "date": "2000-01-01", "budget": 8.0, "judges": ["a", "b"],
    "language_model": "some.gguf",
    "rows": [
        row(method, str(picture), generated + 0.1 * (picture % 2), held_out)
        for method, generated in (("captions", 0.8), ("ours", 0.5), ("published", 0.4))
        for held_out in (False, True)
        for picture in range(4 * held_out, 4 * held_out + 4)
    ],
}  # fmt: skip


def test_differences_are_paired_and_have_an_interval():
    assert tables.gains(
        RESULT["rows"][:4] + RESULT["rows"][8:12], "ours", "captions", lambda row: row["generated"]
    ) == (pytest.approx([-0.3] * 4))
    assert "| training concepts | ours | −0.300 ± 0.000 |" in tables.differences(RESULT)


def test_the_worst_method_leads_the_differences_and_the_best_the_similarities():
    methods = [line.split(" | ")[1] for line in tables.differences(RESULT).splitlines()[2:]]
    assert methods == ["published", "ours"] * 2
    methods = [line.split(" | ")[1] for line in tables.similarities(RESULT).splitlines()[2:]]
    assert methods == ["captions", "ours", "published"] * 2


def test_mean_error_median_and_worst_are_told():
    assert tables._spread([0.1, 0.2, 0.6]) == f"0.300 ± {math.sqrt(0.07 / 3):.3f}, 0.200, 0.100"
    assert tables._spread([-0.1, -0.1]) == "−0.100 ± 0.000, −0.100, −0.100"


def test_the_headline_begins_with_what_is_generated():
    first, *_, last = tables.headline(RESULT).splitlines()
    assert "first by 100 % of our prompts, 100 % of the true captions" in last and last.count("%") == 3
    assert first.startswith("- Similarity of what a generator draws") and "−0.300" in first and "+0.100" in first


def test_rows_that_the_file_holds_are_not_run_again(tmp_path, monkeypatch):
    asked = []

    class Pool:
        def __init__(self, *_):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def submit(self, work, picture, methods, *_):
            asked.append((picture, methods))

    monkeypatch.setattr(worth, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(worth, "as_completed", lambda jobs: [])
    facts = sheets.read(worth.DATA, "worth").facts
    path = tmp_path / "worth.json"
    done = [row(method, facts[0]["tile"], 0.5) for method in worth.METHODS if method != "ours"]
    done += [row(method, facts[1]["tile"], 0.5) for method in worth.METHODS]
    path.write_text(json.dumps({**RESULT, "rows": done}))
    options = worth.argparse.Namespace(
        json=path, quick=True, language_model=tmp_path / "model", sentence_encoder=tmp_path / "encoder"
    )
    worth.run(options)
    assert asked[0] == (0, ["ours"]) and asked[1] == (2, list(worth.METHODS)) and len(asked) == worth.QUICK - 1
