"""A prior by the language models that ComfyUI has loaded, in its own classes with a few narrow layers."""

from __future__ import annotations

import time
from typing import Any

import pytest

from benchmarks import sheets
from pez_core import HardPrompt, SearchSettings, invert, load_encoder, refine
from pez_core.encoders.clip_vocabulary import ClipVocabulary
from pez_core.language import TextReader, load_language_model
from pez_core.priors import CausalPrior, Mixture, embedded_prior
from tools.server import REPOSITORY

LINES = "\n".join(["old key", "a large body of water", "red heart on a table", "wood", "made of old wood of red water"])
KINDS = ["qwen3_4b", "qwen3_8b", "qwen25_3b", "gemma2_2b", "gemma3_4b"]


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def prior(clip: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "clip": clip,
        "probe": node("ProbeLanguagePrior", **{"lines": LINES, "random": True, **changes}, clip=["clip", 0]),
    }


def check(server, graph: dict[str, Any]) -> list[float]:
    """Run; the prior's numbers are those of the model's own forward. Returns them."""
    found, by_hand, events, same = server.run(graph)["probe"]
    assert found == pytest.approx(by_hand, rel=1e-3)
    assert len(set(found)) == 5 and min(found) > 1
    assert events == ["back", "back"], "once for the model itself, and once for the texts"
    assert same
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_texts_surprise_it_as_the_models_own_forward_says_of_each_alone(server, kind):
    known = server.get("/object_info/ProbeSmallLanguageModel")["ProbeSmallLanguageModel"]["input"]["required"]["kind"][
        0
    ]
    if kind not in known:
        pytest.skip(f"this ComfyUI has no {kind}")
    check(server, prior(node("ProbeSmallLanguageModel", kind=kind)))


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [("qwen3_4b", "float16"), ("qwen3_4b", "float8"), ("gemma2_2b", "float16"), ("gemma2_2b", "bfloat16")],
)
def test_weights_of_any_precision_are_read_as_they_are(server, kind, dtype):
    check(server, prior(node("ProbeSmallLanguageModel", kind=kind, dtype=dtype)))


@pytest.mark.parametrize("low_memory", [False, True])
def test_the_weights_that_a_lora_patched_are_the_ones_that_count(server, low_memory):
    plain, patched = (
        check(server, prior(node("ProbeSmallLanguageModel", kind="gemma2_2b", lora=lora, low_memory=low_memory)))
        for lora in (False, True)
    )
    assert plain != pytest.approx(patched, rel=1e-2)


def test_a_model_that_was_unloaded_is_loaded_again(server):
    check(server, prior(node("ProbeSmallLanguageModel", kind="gemma2_2b", lora=True), evicted=True))


@pytest.mark.parametrize("kind", ["sd1", "flux", "t5"])
def test_a_clip_without_a_language_model_is_told_of_with_what_works(server, kind):
    message = "clip has no language model that predicts words; connect a CLIP with Gemma, Qwen3 or Ministral, or Load L"
    with pytest.raises(RuntimeError, match=message):
        server.run(prior(node("ProbeSmallClip", kind=kind)))


def test_a_model_whose_head_was_never_loaded_is_told_of(server):
    with pytest.raises(RuntimeError, match="clip predicts words no better than by chance, as when its file lacks lm_"):
        server.run(prior(node("ProbeSmallLanguageModel", kind="gemma2_2b"), random=False))


def test_a_language_model_of_our_own_loader_is_read_as_without_comfyui(server, model_folder):
    lines = ["the movie is dull", "overall verdict", "maybe people"]
    graph = {
        "model": node("PEZLoadLanguageModel", model="tiny-gpt2"),
        "probe": node(
            "ProbeLanguagePrior", lines="\n".join(lines), random=False, language_model=["model", 0], evicted=True
        ),
    }
    found, _, events, _ = server.run(graph)["probe"]
    words = ClipVocabulary()
    expected = CausalPrior(TextReader(load_language_model(model_folder)), words)
    ids = [words.encode(line) for line in lines]
    nats = [mean * (len(each) + 1) for mean, each in zip(expected.surprise(ids).tolist(), ids)]
    assert found == pytest.approx(nats, rel=1e-4)
    assert events == ["brought", "back"]


SEARCH = {"steps": 1, "seed": 3, "candidates": 1, "prompt_length": 3}


def search(language_model: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A guided search on the embedded encoder, and what it found."""
    source = {"model": language_model} if language_model else {}
    inputs = {"image": ["picture", 0], "encoder": ["encoder", 0], **SEARCH, **changes}
    if language_model:
        inputs["language_model"] = ["model", 0]
    return source | {
        "encoder": node("PEZLoadEncoder", model="embedded", pretrained=""),
        "picture": node("LoadImage", image="00.png"),
        "pez": node("PEZImageToHardPrompt", **inputs),
        "text": node("PreviewAny", source=["pez", 0]),
    }


def as_python_finds_it(task=invert, *given: str, prior=None) -> HardPrompt:
    """The same search without ComfyUI."""
    encoder = load_encoder()
    picture = encoder.encode_images(sheets.read(REPOSITORY / "tests" / "data", "contents").pixels[:1])
    return task(encoder, *given, picture, SearchSettings(tokens=3, seed=3), prior=prior)


def test_a_search_is_guided_by_the_embedded_prior_where_none_is_connected(server):
    assert server.run(search())["text"] == [as_python_finds_it().text]


def test_without_language_the_steps_count(server):
    assert server.run(search(language=0.0))["text"] != server.run(search())["text"]


def test_a_caption_is_edited(server):
    text = "a stencil drawing of a cat"
    graph = search(caption=["caption", 0]) | {"caption": node("PrimitiveString", value=text)}
    assert server.run(graph)["text"] == [as_python_finds_it(refine, text).text]
    with pytest.raises(RuntimeError, match="language is 0, which edits no text; choose more, such as 1"):
        graph["pez"]["inputs"]["language"] = 0.0
        server.run(graph)


def test_a_search_is_guided_by_a_language_model_of_our_own_loader(server, model_folder):
    found = server.run(search(node("PEZLoadLanguageModel", model="tiny-gpt2")))["text"]
    model = CausalPrior(TextReader(load_language_model(model_folder)), ClipVocabulary())
    assert found == [as_python_finds_it(prior=Mixture([embedded_prior(), model])).text]


def test_a_search_is_guided_by_the_text_encoder_that_comfyui_has_loaded(server):
    small = {"small": node("ProbeSmallLanguageModel", kind="gemma2_2b")}
    guesses = {"clip": ["small", 0], "pass": True}
    try:
        found = server.run(search(node("ProbeGuesses", **guesses)) | small)["text"]
    finally:
        guesses["pass"] = False
        with pytest.raises(RuntimeError, match="clip predicts words no better than by chance"):
            server.run(search(node("ProbeGuesses", **guesses)) | small)
    assert found[0]


def test_a_clip_that_predicts_no_words_is_told_of_only_where_language_counts(server):
    with pytest.raises(RuntimeError, match="clip has no language model that predicts words"):
        server.run(search(node("ProbeSmallClip", kind="sd1")))
    assert server.run(search(node("ProbeSmallClip", kind="sd1"), language=0.0))["text"][0]


def test_cancel_ends_a_search_while_it_reads(server):
    graph = search() | {
        "clip": node("CLIPLoader", clip_name="clip_l.safetensors", type="stable_diffusion"),
        "vision": node("CLIPVisionLoader", clip_name="vit_l.safetensors"),
    }
    del graph["pez"]["inputs"]["encoder"], graph["encoder"]
    graph["pez"]["inputs"] |= {"clip": ["clip", 0], "clip_vision": ["vision", 0], "prompt_length": 8}
    identity = server.queue(graph)
    time.sleep(15)
    assert server.get("/queue")["queue_running"], "it has thousands of texts to read"
    server.post("/interrupt", {})
    record = server.finish(identity, seconds=20)
    assert [kind for kind, _ in record["status"]["messages"]][-1] == "execution_interrupted"
