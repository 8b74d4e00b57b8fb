"""The applications: what each trial draws and compares."""

import pytest
import torch

from benchmarks import applications, sheets
from benchmarks.judging import Judge, Truth
from benchmarks.miniature import DATA, SEEDS, Miniature
from benchmarks.tables import applications as tables
from pez_core.drawing import load_generator

STYLES = ["glossy", "flat", "stencil", "cartoon"]


@pytest.fixture(scope="module")
def here(encoder):
    """The miniature world with the embedded model for a judge, its truth made of texts."""
    sheet = sheets.read(DATA, "worth")

    def features(texts):
        return torch.cat([encoder.encode_text(text) for text in texts])

    names = [fact["concept"] for fact in sheet.facts]
    styles = torch.stack([features(f"a {style} drawing of {name}" for name in names) for style in STYLES], 1)
    truth = Truth(features(names), styles, styles, names, STYLES, STYLES)
    pictures = encoder.encode_images(sheet.pixels)
    judge = Judge("embedded", encoder, pictures, truth)
    return Miniature(encoder, sheet.pixels, sheet.facts, pictures, [judge], load_generator())


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(applications, "SECONDS", 0.5)


def test_a_style_is_drawn_on_the_same_new_subjects_by_its_words_and_by_its_name(here, monkeypatch):
    drawn = []
    monkeypatch.setattr(Miniature, "drawn", lambda self, prompt: drawn.append(prompt) or [self.pixels[0]] * 2)
    learned, descent, named = applications.style_rows(here, 1)
    assert (learned.way, descent.way, named.way, named.prompt) == ("learned", "descent", "named", "flat drawing")
    subjects = [prompt.removesuffix(f" {learned.prompt}") for prompt in drawn[: applications.SUBJECTS]]
    assert [prompt.removesuffix(" flat drawing") for prompt in drawn[2 * applications.SUBJECTS :]] == subjects
    assert len(set(subjects)) == applications.SUBJECTS <= len(set(subjects) & {fact["concept"] for fact in here.facts})


def test_two_pictures_are_drawn_in_one_by_their_prompts_and_by_their_captions(here):
    learned, descent, captions = applications.concat_rows(here, 0)
    assert captions.prompt.count("background") == 2 and ", a " in captions.prompt
    assert ", " in learned.prompt and len({learned.prompt, descent.prompt, captions.prompt}) == 3
    assert all(-1 <= row.similarity <= 1 and 0 <= row.named <= 1 for row in (learned, descent, captions))


def test_a_long_prompt_and_its_shares_are_drawn_from_the_same_noise(here):
    whole, *shorter = applications.distill_rows(here, 0)
    assert whole.similarity == pytest.approx(1, abs=1e-5)
    assert [row.way for row in shorter] == [
        f"{ratio}, {way}" for ratio in (0.7, 0.5, 0.3, 0.1) for way in ("learned", "descent")
    ]
    for some in (shorter[::2], shorter[1::2]):
        lengths = [len(here.encoder.vocabulary.encode(row.prompt)) for row in (whole, *some)]
        assert lengths == sorted(lengths, reverse=True) and lengths[-1] >= 1


def test_a_long_prompt_says_everything_that_is_true_of_the_picture(here):
    fact = here.facts[0]
    text = applications.long_prompt(fact)
    assert all(word in text for word in [fact["concept"], fact["style"], fact["colour"], *fact["keywords"]])


def test_a_prompt_is_drawn_once_for_each_seed(here):
    pictures = here.drawn("a flat drawing of tree")
    assert len(pictures) == len(SEEDS) and not torch.equal(pictures[0], pictures[1])


def test_the_table_has_a_line_for_each_way_with_its_worst():
    row = {"application": "concat", "way": "learned", "trial": 0, "prompt": "", "style_match": None}
    rows = [{**row, "named": 1.0, "similarity": 0.5}, {**row, "named": 0.0, "similarity": -0.1}]
    line = tables.drawn({"rows": rows}).splitlines()[2]
    assert line == "| concat | learned | both concepts: 50 % | – | 0.200 | −0.100 | 2 |"


def test_the_headline_compares_ours_with_what_a_person_says_and_with_no_language():
    def row(application, way, named, similarity):
        return {"application": application, "way": way, "named": named, "style_match": named, "similarity": similarity}

    rows = [
        *(row("style", way, named, None) for way, named in (("learned", 0.5), ("named", 1.0), ("descent", 0.0))),
        *(row("concat", way, 0.0, near) for way, near in (("learned", 0.3), ("captions", 0.4), ("descent", 0.1))),
        *(row("distill", f"0.3, {way}", 0.0, near) for way, near in (("learned", 0.8), ("descent", 0.2))),
    ]
    told = tables.headline({"rows": rows})
    assert "for 50 % and 50 % by our words for it, 100 % and 100 % by its name and 0 % and 0 % without language" in told
    assert "0.300 to both by ours, 0.400 by true captions and 0.100 without" in told
    assert "0.800 to what the whole draws, and 0.200 without" in told
