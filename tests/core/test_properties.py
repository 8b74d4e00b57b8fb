"""What holds for any ids, any text and any picture, tried on tens of thousands of them."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import ftfy
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pez_core import PezError, SearchSettings, distill, invert, score
from pez_core.best import Best
from pez_core.encoders.pictures import as_rgb
from pez_core.feature_judge import FeatureJudge
from pez_core.objectives import Match
from pez_core.optimiser.judge import Offer
from pez_core.vocabulary import PROMPT_SYNTAX, TOKEN_FILTERS

ROOT = Path(__file__).parents[2]
UNICODE = st.characters(exclude_categories=["Cs"])
ANY_TEXT = st.one_of(
    st.text(UNICODE, max_size=80),
    st.text("()[]{}<>\\:|,.0123456789 embedding:", max_size=80),
)
LONG_TEXT = st.builds(str.__mul__, st.text(UNICODE, min_size=1, max_size=4), st.just(2500))


def many(count: int):
    return settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def allowed(encoder) -> dict[str, list[int]]:
    return {token_filter: encoder.vocabulary.allowed_ids(token_filter).tolist() for token_filter in TOKEN_FILTERS}


@many(10_000)
@given(token_filter=st.sampled_from(TOKEN_FILTERS), places=st.lists(st.integers(0, 10**6), min_size=1, max_size=75))
def test_no_ids_that_a_search_may_use_spell_prompt_syntax(encoder, allowed, token_filter, places):
    text = encoder.vocabulary.decode([allowed[token_filter][place % len(allowed[token_filter])] for place in places])
    assert not PROMPT_SYNTAX & set(text)
    if token_filter != "all":
        assert text.isprintable()
    if token_filter == "ascii words":
        assert text.isascii() and all(word.isalpha() for word in text.split())


@pytest.mark.slow  # 2,000 times forward and backward through the tower
@many(2_000)
@given(token_filter=st.sampled_from(TOKEN_FILTERS), places=st.lists(st.integers(0, 10**6), min_size=4, max_size=4))
def test_what_is_kept_survives_the_round_trip_and_keeps_its_score(encoder, contents, allowed, token_filter, places):
    learned = tuple(allowed[token_filter][place % len(allowed[token_filter])] for place in places)
    chosen = SearchSettings(tokens=4, token_filter=token_filter)
    judge = FeatureJudge(encoder, Match(contents.features[:1]), chosen)
    best, ids = Best(judge, encoder.vocabulary, chosen), torch.tensor([learned])
    verdict, _ = judge.with_gradient(ids)
    best.consider(Offer(ids, verdict))
    if best.text:
        assert tuple(encoder.vocabulary.encode(best.text)) == best.tokens
        again = (encoder.encode_text(best.text) @ contents.features[0]).item()
        assert best.similarity == pytest.approx(again, abs=1e-4)


@many(10_000)
@given(text=ANY_TEXT)
def test_any_text_is_read_and_its_ids_spell_a_text_that_reads_alike(encoder, text):
    """But for texts that ftfy, which CLIP's tokenizer reads them through, takes for a wrong encoding and repairs."""
    vocabulary = encoder.vocabulary
    ids = vocabulary.encode(text)
    assert all(0 <= token < vocabulary.start_id for token in ids)
    spelled = vocabulary.decode(ids)
    if ftfy.fix_text(spelled) == spelled:
        assert vocabulary.encode(spelled) == ids


@many(200)
@given(text=st.one_of(ANY_TEXT, LONG_TEXT))
def test_any_text_has_a_score_or_is_refused_for_being_empty(encoder, contents, text):
    try:
        found = score(encoder, text, contents.features[:2])
    except PezError as error:
        assert not encoder.vocabulary.encode(text) and "text to score is empty" in str(error)
        return
    assert -1.0001 <= found.similarity <= 1.0001
    assert len(found.pieces) == min(75, len(found.tokens))


@pytest.mark.parametrize("language", [0.0, 1.0])
@many(25)
@given(text=st.one_of(ANY_TEXT, LONG_TEXT), ratio=st.floats(0.01, 0.99), token_filter=st.sampled_from(TOKEN_FILTERS))
def test_any_prompt_is_distilled_or_refused(encoder, language, text, ratio, token_filter):
    quick = SearchSettings(steps=2, candidates=1, refinement=0, token_filter=token_filter, language=language)
    try:
        found = distill(encoder, text, quick, ratio)
    except PezError as error:
        reasons = ("prompt to distill is empty", "prompt length and suffix take", "gave no text that reads back")
        assert any(reason in str(error) for reason in reasons)
        return
    assert encoder.vocabulary.encode(found.text) == list(found.tokens)


@many(2_000)
@given(
    shape=st.lists(st.integers(0, 5), min_size=1, max_size=4),
    value=st.sampled_from([0.0, 0.5, 1.0, -3.0, 7.0, float("nan"), float("inf")]),
    dtype=st.sampled_from([torch.float32, torch.float16, torch.float64]),
)
def test_any_picture_becomes_rgb_from_0_to_1_or_is_refused(shape, value, dtype):
    try:
        picture = as_rgb(torch.full(shape, value, dtype=dtype))
    except PezError as error:
        assert "picture" in str(error)
        return
    assert picture.shape == (*shape[:2], 3)
    assert picture.min() >= 0 and picture.max() <= 1


@many(60)
@given(sizes=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3, 4])), max_size=6))
def test_any_set_of_pictures_gives_features_or_a_sentence(encoder, sizes):
    pictures = [torch.rand(size) for size in sizes]
    try:
        features = encoder.encode_images(pictures)
    except PezError as error:
        assert not sizes and "pictures are missing" in str(error)
        return
    assert torch.allclose(features.norm(dim=1), torch.ones(len(sizes)), atol=1e-4)


def test_no_weight_changes_in_any_task(encoder, contents):
    before = [weight.clone() for weight in encoder.tower._text.state_dict().values()]
    for token_filter in TOKEN_FILTERS:
        quick = SearchSettings(language=0, tokens=3, steps=3, candidates=2, token_filter=token_filter)
        invert(encoder, contents.features[:2], quick, avoid=contents.features[2:3])
        distill(encoder, "a glossy drawing of a red rocket", quick, 0.5)
    after = encoder.tower._text.state_dict().values()
    assert all(torch.equal(one, other) for one, other in zip(before, after))


def run(code: str) -> str:
    finished = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_the_heavy_libraries_are_imported_when_they_are_first_used():
    heavy = "{'open_clip', 'transformers', 'matplotlib', 'torchvision'}"
    assert run(f"import sys, pez_core, pez_core.command_line; print({heavy} & set(sys.modules))").strip() == "set()"


def test_nothing_goes_to_the_network(picture_file):
    """Neither at import nor at work with a model that is on disk."""
    run(f"""
        import socket
        def refuse(*arguments, **_):
            raise AssertionError(f"the network was asked for: {{arguments}}")
        socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
        from pathlib import Path
        from pez_core import SearchSettings, invert, load_encoder, open_pictures
        encoder = load_encoder()
        pictures = encoder.encode_images(open_pictures([Path({str(picture_file)!r})]))
        assert invert(encoder, pictures, SearchSettings(language=0, tokens=3, steps=2, candidates=1)).text
    """)
