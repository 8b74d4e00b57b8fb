"""The tasks on real pictures, with the embedded model: do the prompts name what is there?"""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from pez_core import PezError, SearchSettings, concat, distill, invert, negative, score, style
from pez_core.optimiser.projection import Projection
from pez_core.search import search

DATA = Path(__file__).parents[1] / "data"
SETTINGS = SearchSettings(language=0, tokens=8, steps=100, candidates=8, refinement=1.0)
QUICK = SearchSettings(language=0, tokens=4, steps=10, candidates=1, refinement=0)
CAPTION = "a glossy drawing of a smiling cat face with heart eyes and one red rose on a blue background"


@pytest.fixture(scope="module")
def prompts(encoder, contents):
    """An 8-token prompt for each of the 40 pictures."""
    return [invert(encoder, features[None], SETTINGS) for features in contents.features]


@pytest.mark.slow  # 40 searches, which the next test shares
def test_prompts_score_above_the_true_caption_on_38_of_40_pictures(encoder, contents, prompts):
    captions = [score(encoder, fact["caption"], f[None]) for fact, f in zip(contents.facts, contents.features)]
    assert sum(found.similarity > caption.similarity for found, caption in zip(prompts, captions)) >= 38


@pytest.mark.slow
def test_prompts_alone_retrieve_the_concept_among_all(encoder, contents, prompts, capsys):
    with safe_open(DATA / "concepts.safetensors", "pt") as file:
        concepts, names = file.get_tensor("features").float(), json.loads(file.metadata()["names"])
    ranks = []
    with capsys.disabled():
        for fact, found in zip(contents.facts, prompts):
            similarity = concepts @ encoder.encode_text(found.text)[0]
            ranks.append(int((similarity > similarity[names.index(fact["concept"])]).sum()))
            print(f"\n  {fact['concept']:32s} {found.similarity:.3f}  rank {ranks[-1] + 1:4d}  {found.text}", end="")
    assert len(names) > 1000
    assert sum(rank < 1 for rank in ranks) >= 0.60 * len(ranks)
    assert sum(rank < 5 for rank in ranks) >= 0.85 * len(ranks)


def test_a_style_moves_to_a_new_subject(encoder, load_pictures, capsys):
    subject = load_pictures("subject")
    styles = [fact["style"] for fact in subject.facts]
    right = 0
    for name in styles:
        pictures = load_pictures(f"style-{name}")
        assert subject.facts[0]["concept"] not in {fact["concept"] for fact in pictures.facts}
        found = style(encoder, pictures.features, replace(SETTINGS, tokens=4))
        similarity = subject.features @ encoder.encode_text(f"{subject.facts[0]['concept']} {found.text}")[0]
        right += styles[similarity.argmax()] == name
        with capsys.disabled():
            print(f"\n  {name:8s} → {styles[similarity.argmax()]:8s} {found.text}", end="")
    assert len(styles) == 4 and right >= 3


def test_distilling_a_caption_to_a_third_keeps_its_meaning(encoder, capsys):
    tokens = len(encoder.vocabulary.encode(CAPTION))
    found = distill(encoder, CAPTION, SETTINGS, ratio=0.3)
    with capsys.disabled():
        print(f"\n  {tokens} → {len(found.tokens)} tokens  {found.similarity:.3f}  {found.text}", end="")
    assert 18 <= tokens <= 24
    assert len(found.tokens) <= round(0.3 * tokens)
    assert found.similarity >= 0.9


def test_distill_takes_a_length_or_a_ratio(encoder):
    assert distill(encoder, CAPTION, QUICK).settings.tokens == 4
    assert distill(encoder, "one two three four", QUICK, ratio=0.5).settings.tokens == 2
    assert distill(encoder, "one", QUICK, ratio=0.1).settings.tokens == 1


def test_distill_reads_all_windows_of_a_long_prompt(encoder):
    long = "dog " * 75 + "rocket " * 75
    found = distill(encoder, long, replace(QUICK, tokens=2))
    both = encoder.tower.encode_ids([encoder.vocabulary.encode("dog " * 75), encoder.vocabulary.encode("rocket " * 75)])
    assert found.similarity == pytest.approx((encoder.encode_text(found.text) @ both.mean(0)).item(), abs=1e-5)


def test_avoided_pictures_lower_their_similarity(encoder, contents):
    target, avoided = contents.features[:1], contents.features[1:2]
    plain = invert(encoder, target, replace(SETTINGS, steps=60))
    turned = invert(encoder, target, replace(SETTINGS, steps=60), avoid=avoided)
    similarity = [encoder.encode_text(found.text) @ avoided[0] for found in (plain, turned)]
    assert similarity[1] < similarity[0]


def test_a_negative_prompt_is_near_to_what_is_avoided_and_far_from_what_is_kept(encoder, contents):
    avoid, keep = contents.features[:1], contents.features[1:2]
    found = negative(encoder, avoid, QUICK, keep)
    text = encoder.encode_text(found.text)[0]
    assert found.similarity == pytest.approx((avoid[0] @ text).item(), abs=1e-5)
    assert avoid[0] @ text > keep[0] @ text + 0.2
    assert keep[0] @ text < keep[0] @ encoder.encode_text(negative(encoder, avoid, QUICK).text)[0]


@pytest.mark.parametrize(
    ("task", "batch", "drawn"), [(style, None, 4), (style, 2, 2), (invert, None, 6), (invert, 2, 2)]
)
def test_a_step_of_style_sees_four_pictures_and_one_of_inversion_all_unless_a_batch_is_set(
    encoder, monkeypatch, task, batch, drawn
):
    """Six targets at right angles: the score of each says its share in what was drawn."""
    axes, objectives = torch.eye(256)[:6], []

    def watched(encoder, objective, *rest):
        objectives.append(objective)
        return search(encoder, objective, *rest)

    monkeypatch.setattr("pez_core.tasks.search", watched)
    task(encoder, axes, replace(QUICK, batch=batch))
    shares = objectives[0].score(axes, torch.Generator().manual_seed(0))
    assert sorted(shares.tolist()) == pytest.approx([0.0] * (6 - drawn) + [1 / drawn] * drawn)


def test_concat_joins_and_measures_what_is_left_of_each(encoder):
    joined = concat(encoder, ["red apple", " green pear "], ", ")
    assert joined.text == "red apple, green pear"
    parts = torch.cat([encoder.encode_text("red apple"), encoder.encode_text("green pear")])
    assert joined.similarity == pytest.approx((parts @ encoder.encode_text(joined.text)[0]).mean().item(), abs=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e: distill(e, " ", QUICK), "prompt to distill is empty"),
        (lambda e: distill(e, "some words", QUICK, ratio=1.5), "ratio is 1.5"),
        (lambda e: concat(e, ["one"]), "fewer than two"),
        (lambda e: concat(e, ["one", " "]), "include an empty one"),
        (lambda e: score(e, "", torch.ones(1, 4)), "text to score is empty"),
        (lambda e: e.encode_images([]), "pictures are missing"),
        (lambda e: e.encode_images([torch.full((4, 4, 3), float("nan"))]), "NaN"),
    ],
)
def test_bad_input_gets_one_sentence(encoder, call, message):
    with pytest.raises(PezError, match=message) as error:
        call(encoder)
    assert "\n" not in str(error.value)


def test_a_search_with_room_for_all_candidates_has_nothing_to_say(encoder, contents):
    assert invert(encoder, contents.features[:1], QUICK).notes == ()


def test_blocked_words_are_not_even_tried(encoder, contents, monkeypatch):
    tried, project = set(), Projection.__call__

    def watched(self, iterate):
        ids = project(self, iterate)
        tried.update(ids.flatten().tolist())
        return ids

    monkeypatch.setattr(Projection, "__call__", watched)
    free = invert(encoder, contents.features[:1], QUICK)
    assert set(free.tokens) <= tried
    tried.clear()
    invert(encoder, contents.features[:1], replace(QUICK, blocklist=tuple(free.text.split())))
    assert tried and not tried & set(free.tokens)
