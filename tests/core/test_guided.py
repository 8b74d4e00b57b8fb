"""Search guided by language: what it says of pictures, what it keeps of a given text, and what it obeys."""

import re
from dataclasses import replace
from itertools import groupby

import pytest
import torch

from pez_core import Match, PezError, SearchSettings, distill, invert, negative, refine, search, style
from pez_core.best import ReadBack
from pez_core.encoders.joint import JointTower
from pez_core.feature_judge import FeatureJudge
from pez_core.guided import evidence as evidence_module
from pez_core.guided import shared
from pez_core.guided.evidence import Context, Evidence, _gains, evidence, proposals
from pez_core.guided.guide import Guide
from pez_core.guided.openings import PRICED, openings
from pez_core.guided.refine import edits, refined
from pez_core.guided.shared import Shared
from pez_core.guided.texts import Texts
from pez_core.optimiser.projection import Projection
from pez_core.priors import embedded_prior

GUIDED = SearchSettings(language=1.0, seed=3)
FEW = 6
STYLE_WORDS = {  # that the embedded model read for each style
    "glossy": ("glossy", "shiny", "rendered"),
    "flat": ("flat", "simple", "vector"),
    "stencil": ("stencil", "outline", "monochrome"),
    "cartoon": ("cartoon", "sticker", "comic"),
}


@pytest.fixture(scope="module")
def found(encoder, contents):
    return [invert(encoder, contents.features[place : place + 1], GUIDED) for place in range(FEW)]


@pytest.fixture(scope="module")
def cherries(encoder):
    return encoder.encode_text("a cartoon drawing of cherries on a red background")


def parts(encoder, target):
    projection = Projection(encoder.tower.tables, encoder.vocabulary.allowed_ids())
    guide = Guide(
        projection, embedded_prior(), 1.0, 8, lambda ids: True, lambda ids: ids, torch.Generator().manual_seed(0)
    )
    return Texts(FeatureJudge(encoder, Match(target), GUIDED), {}, lambda: None), guide


def test_it_reads_back_within_the_length_and_scores_what_it_returns(encoder, contents, found):
    for place, each in enumerate(found):
        assert encoder.vocabulary.encode(each.text) == list(each.tokens)
        assert len(each.tokens) <= GUIDED.tokens
        again = encoder.encode_text(each.text)[0] @ contents.features[place]
        assert each.similarity == pytest.approx(again.item(), abs=1e-5)


def test_the_same_seed_finds_the_same(encoder, contents, found):
    assert invert(encoder, contents.features[:1], GUIDED) == found[0]


def test_alternatives_share_at_most_half_of_their_words_with_a_better_text(encoder, found):
    assert any(each.alternatives for each in found)
    for each in found:
        words = [set(encoder.vocabulary.encode(text)) for text in (each.text, *each.alternatives)]
        for place, mine in enumerate(words):
            assert all(len(mine & better) <= len(mine) / 2 for better in words[:place])


def test_more_language_gives_likelier_texts(encoder, contents, found):
    prior = embedded_prior()
    little = [
        invert(encoder, contents.features[place : place + 1], replace(GUIDED, language=0.1)) for place in range(FEW)
    ]
    much = prior.surprise([each.tokens for each in found])
    assert much.mean() < prior.surprise([each.tokens for each in little]).mean()


def test_without_language_nothing_of_the_prior_is_asked(encoder, contents):
    settings = SearchSettings(language=0, steps=5, candidates=2)
    assert invert(encoder, contents.features[:1], settings, prior=object()) == invert(
        encoder, contents.features[:1], settings
    )


def test_progress_tells_the_text_as_it_grows_and_stops_when_told(encoder, contents):
    seen = []
    whole = search(encoder, Match(contents.features[:1]), GUIDED, lambda progress: bool(seen.append(progress)))
    assert seen[-1].text == whole.text
    assert len(seen) >= 3
    told = dict.fromkeys((each.text, each.reported) for each in seen if each.text)
    assert [reported for reported, _ in groupby(whole.history)] == [reported for _, reported in told]
    assert all(each.step <= each.steps == GUIDED.total_steps for each in seen)
    stopped = search(encoder, Match(contents.features[:1]), GUIDED, lambda progress: True)
    assert stopped.text == next(each.text for each in seen if each.text)


def test_a_time_that_is_over_leaves_the_first_text(encoder, contents):
    hurried = search(encoder, Match(contents.features[:1]), replace(GUIDED, time_budget=1e-6))
    assert len(hurried.history) == 1
    assert hurried.text


def test_blocked_words_are_not_said(encoder, contents, found):
    word = found[0].text.split()[0]
    other = invert(encoder, contents.features[:1], replace(GUIDED, blocklist=(found[0].text, word)))
    assert word not in other.text.split()
    assert all(word not in text.split() for text in other.alternatives)


def test_where_nothing_may_be_said_the_remedy_is_told(encoder, cherries, monkeypatch):
    monkeypatch.setattr(ReadBack, "__call__", lambda self, learned: None)
    with pytest.raises(PezError, match="choose ascii words"):
        search(encoder, Match(cherries), GUIDED)


def test_prefix_and_suffix_stand_around_the_text(encoder, contents):
    text = invert(encoder, contents.features[:1], replace(GUIDED, prefix="a photo of", suffix="at night")).text
    assert text.startswith("a photo of ")
    assert text.endswith(" at night")
    assert len(text.split()) > 5


CAPTION = "a cartoon drawing of cherries on a red background, sticker, comic"


def words_of(text):
    return re.findall(r"\w+", text)


def test_a_prompt_is_distilled_to_its_own_words(encoder):
    short = distill(encoder, CAPTION, GUIDED, ratio=0.4)
    assert "cherries" in words_of(short.text)
    assert set(words_of(short.text)) <= set(words_of(CAPTION))
    assert len(short.tokens) <= 0.4 * len(encoder.vocabulary.encode(CAPTION))
    assert short.similarity > 0.9
    assert encoder.vocabulary.encode(short.text) == list(short.tokens)


def test_alternatives_of_a_distilled_prompt_are_shorter_yet(encoder):
    short = distill(encoder, CAPTION, GUIDED, ratio=0.8)
    lengths = [len(encoder.vocabulary.encode(text)) for text in (short.text, *short.alternatives)]
    assert len(lengths) >= 2
    assert lengths == sorted(set(lengths), reverse=True)


def test_a_distilled_prompt_keeps_of_every_window(encoder):
    long = "cherries " * 75 + "rocket " * 75
    assert {"cherries", "rocket"} == set(distill(encoder, long, replace(GUIDED, tokens=2)).text.split())


def test_a_distilled_prompt_leaves_out_what_may_not_be_said(encoder):
    text = "a (cartoon:1.2) drawing of two rockets with cherries"
    short = distill(encoder, text, replace(GUIDED, blocklist=("cherries", "two rockets")), ratio=0.7).text
    assert "cartoon" in words_of(short)
    assert "cherries" not in words_of(short)
    assert not set("()") & set(short)
    assert "two rockets" not in short


@pytest.mark.parametrize("text", ["(((", "\U00010000", "cherries cherries"])
def test_where_none_of_its_words_may_be_said_others_are(encoder, text):
    found = distill(encoder, text, replace(GUIDED, blocklist=("cherries",)), ratio=0.9)
    assert found.text and "cherries" not in found.text
    assert encoder.vocabulary.encode(found.text) == list(found.tokens)


def test_a_space_before_a_comma_goes_where_the_text_reads_back_alike(encoder):
    text = distill(encoder, "red , blue , green , red , blue", replace(GUIDED, tokens=8)).text
    assert "," in text and " ," not in text


@pytest.mark.parametrize("name", STYLE_WORDS)
def test_a_style_is_named_and_the_subjects_are_not(encoder, load_pictures, name):
    pictures = load_pictures(f"style-{name}")
    found = style(encoder, pictures.features, GUIDED)
    assert set(found.text.split()) <= set(STYLE_WORDS[name])
    assert found.alternatives
    said = [set(text.split()) for text in (found.text, *found.alternatives)]
    assert sum(map(len, said)) == len(set().union(*said))
    mean = (pictures.features @ encoder.encode_text(found.text)[0]).mean().item()
    assert found.similarity == pytest.approx(mean, abs=1e-5)


def test_a_style_of_pictures_to_avoid_is_not_named(encoder, load_pictures):
    wanted, avoided = load_pictures("style-flat").features[:2], load_pictures("style-cartoon").features
    text = style(encoder, wanted, GUIDED, avoid=avoided).text
    assert not set(text.split()) & set(STYLE_WORDS["cartoon"])


def test_a_style_of_one_picture_is_found(encoder, load_pictures):
    assert style(encoder, load_pictures("style-stencil").features[:1], GUIDED).text


def test_a_style_without_a_blocked_word_is_another_word(encoder, load_pictures):
    features = load_pictures("style-stencil").features
    first = style(encoder, features, GUIDED).text
    other = style(encoder, features, replace(GUIDED, blocklist=tuple(first.split()))).text
    assert not set(first.split()) & set(other.split())


def test_a_negative_prompt_is_far_from_what_is_kept(encoder, contents):
    avoid, keep = contents.features[:1], contents.features[1:2]
    found = negative(encoder, avoid, GUIDED, keep)
    text = encoder.encode_text(found.text)[0]
    assert avoid[0] @ text > keep[0] @ text + 0.2


def test_only_the_nearest_texts_are_asked_of_the_prior(encoder, cherries):
    texts, guide = parts(encoder, cherries)
    asked = []

    class Counts:
        phrases = guide.prior.phrases

        def surprise(self, prompts):
            asked.extend(prompts)
            return guide.prior.surprise(prompts)

    found = openings(texts, replace(guide, prior=Counts()), 16)
    assert len(asked) == PRICED
    assert [context.ids for context in found] == [context.ids for context in openings(*parts(encoder, cherries), 16)]


def test_evidence_ranks_what_holds_in_every_text_over_what_fits_one(encoder, cherries):
    texts, guide = parts(encoder, cherries)
    encode = encoder.vocabulary.encode
    contexts = [
        Context(texts, tuple(encode(text)))
        for text in ("cherries", "berries", "strawberry", "red apple", "tomato", "grapes")
    ]
    words, gains = evidence(guide, contexts)
    assert {"cartoon", "sticker", "comic"} & set(encoder.vocabulary.decode(words[:8]).split())
    assert (gains[:-1] >= gains[1:]).all()
    again = torch.nanquantile(_gains(words[:5], contexts), 0.25, dim=1)
    assert torch.allclose(gains[:5], again)


def test_gains_are_the_mean_of_both_sides_and_of_texts_without_the_word(encoder, cherries):
    texts, _ = parts(encoder, cherries)
    (cartoon,), context = encoder.vocabulary.encode("cartoon"), tuple(encoder.vocabulary.encode("cherries"))
    gains = _gains([cartoon], [Context(texts, context), Context(texts, (cartoon, *context))])
    before, after, alone = texts.scores([(cartoon, *context), (*context, cartoon), context]).tolist()
    assert gains[0, 0].item() == pytest.approx((before + after) / 2 - alone, abs=1e-6)
    assert gains[0, 1].isnan()


def test_words_of_the_priors_phrases_are_tried_where_the_gradient_does_not_ask_for_them(encoder, cherries, monkeypatch):
    texts, guide = parts(encoder, cherries)
    red, blue, unsaid = (encoder.vocabulary.encode(word)[0] for word in ("red", "blue", "!"))

    class Colours:
        def surprise(self, prompts):
            return guide.prior.surprise(prompts)

        def phrases(self, count):
            return [(unsaid,), (blue, red)]

    monkeypatch.setattr(evidence_module, "proposals", lambda guide, contexts, fillers, count: [])
    contexts = [Context(texts, tuple(encoder.vocabulary.encode(text))) for text in ("cherries", "sticker fruit")]
    assert evidence(replace(guide, prior=Colours()), contexts).words == (red, blue)


def test_few_words_are_tried_beside_all_texts(encoder, cherries, monkeypatch):
    texts, guide = parts(encoder, cherries)
    cherry, red, idea, thirty = (encoder.vocabulary.encode(word)[0] for word in ("cherry", "red", "idea", "thirty"))
    monkeypatch.setattr(evidence_module, "proposals", lambda guide, contexts, fillers, count: [cherry, red, idea])
    monkeypatch.setattr(evidence_module, "_known", lambda guide: [thirty])
    monkeypatch.setattr(evidence_module, "SCREENED", 2)
    found = evidence(guide, [Context(texts, (cherry,)), Context(texts, (cherry, thirty))])
    assert found.words[0] == red and not {cherry, thirty} & set(found.words)


def test_a_prompt_that_is_read_once_scores_as_each_text_does(encoder, cherries):
    texts, _ = parts(encoder, cherries)
    prompt, words = tuple(encoder.vocabulary.encode("cartoon cherries")), encoder.vocabulary.encode("red blue idea")
    whole = texts.scores([(*prompt, word) for word in words])
    assert torch.allclose(texts.followed(prompt, words), whole, atol=1e-4)


def test_the_gradient_asks_for_what_the_target_is_called(encoder, cherries):
    texts, guide = parts(encoder, cherries)
    asked = proposals(guide, [Context(texts, ())], 64, 100)
    assert set(encoder.vocabulary.encode("cherries")) & set(asked)
    assert len(asked) == 100


def test_a_caption_of_another_style_is_repaired(encoder, cherries):
    given = "a stencil drawing of cherries"
    better = refine(encoder, given, cherries)
    assert better.task == "refine"
    assert "cherries" in better.text.split()
    assert "stencil" not in better.text.split()
    assert better.similarity > (encoder.encode_text(given)[0] @ cherries[0]).item()


def words(*ids):
    return tuple((each,) for each in ids)


def test_a_caption_is_edited_by_whole_words(encoder, cherries):
    given = "a stencil drawing of wheelbarrows and cherries"
    pieces = set(encoder.vocabulary.encode("wheelbarrows"))
    left = pieces & set(refine(encoder, given, cherries).tokens)
    assert len(pieces) > 1 and left in (set(), pieces)


def test_a_caption_as_long_as_the_window_is_refined(encoder, cherries):
    given = "cherries " + "red " * 74
    assert "cherries" in refine(encoder, given, cherries, replace(GUIDED, time_budget=1e-6)).text.split()


def test_a_text_that_fits_stays_as_it_is():
    kept = list(refined(words(1, 2), words(3), lambda texts: torch.zeros(len(texts)), lambda text: True, 0.0, 8))
    assert kept == [(1, 2)]


def test_edits_are_all_texts_one_edit_away():
    expected = [(1,), (2,), (3, 1, 2), (1, 3, 2), (1, 2, 3), (3, 2), (1, 3), (2, 1)]
    assert set(edits(words(1, 2), words(3))) == {words(*each) for each in expected}


def test_refining_takes_the_best_edit_that_may_be_said():
    worth = lambda texts: torch.tensor([float(sum(text)) for text in texts])  # noqa: E731
    assert list(refined(words(1), words(2, 3), worth, lambda text: 3 not in text, 0.0, 2)) == [(1,), (2, 1)]


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("", GUIDED, "text to refine is empty"),
        ("cat", replace(GUIDED, language=0.0), "language is 0"),
        ("a cat", replace(GUIDED, blocklist=("cat",)), "text 'a cat' holds what the blocklist forbids"),
        ("(cat:1.2)", GUIDED, "prompt syntax; take it out"),
        ("cat " * 76, GUIDED, "text to refine takes 76 tokens, and 75 are read at once; shorten it"),
    ],
)
def test_what_cannot_be_refined_is_said(encoder, cherries, text, settings, message):
    with pytest.raises(PezError, match=message):
        refine(encoder, text, cherries, settings)


def test_a_weight_below_zero_is_refused():
    with pytest.raises(PezError, match="language is -1"):
        SearchSettings(language=-1)


def test_a_tower_that_gives_nan_is_said(encoder, cherries, monkeypatch):
    read = type(encoder.tower).read
    monkeypatch.setattr(type(encoder.tower), "read", lambda self, pooled: read(self, pooled) * torch.nan)
    with pytest.raises(PezError, match="gives NaN"):
        search(encoder, Match(cherries), GUIDED)


def test_scores_are_in_logits_of_the_model_that_is_searched(encoder, cherries):
    texts, _ = parts(encoder, cherries)
    (score,) = texts.scores([tuple(encoder.vocabulary.encode("cherries"))]).tolist()
    similarity = (encoder.encode_text("cherries")[0] @ cherries[0]).item()
    assert encoder.tower.logit_scale == pytest.approx(36.44, abs=0.01)
    assert score == pytest.approx(encoder.tower.logit_scale * similarity, rel=1e-4)


def test_towers_side_by_side_have_the_mean_of_their_scales(encoder):
    class Published(type(encoder.tower)):
        def __init__(self):
            vars(self).update(vars(encoder.tower))
            del self.logit_scale

    both = JointTower([encoder.tower, Published()])
    assert both.logit_scale == pytest.approx((encoder.tower.logit_scale + 100) / 2)


def test_words_with_much_less_evidence_than_the_best_are_not_shared(encoder, cherries, monkeypatch):
    glossy, shiny, tomato = (encoder.vocabulary.encode(word)[0] for word in ("glossy", "shiny", "tomato"))
    found = Evidence((glossy, shiny, tomato), torch.tensor([1.0, 0.7, 0.5]))
    monkeypatch.setattr(shared, "evidence", lambda guide, contexts: found)
    texts, guide = parts(encoder, cherries)
    finder = Shared([texts], guide)
    *_, best = finder.find()
    said = {word for text in (best, *finder.others(best)) for word in text}
    assert said == {glossy, shiny}
