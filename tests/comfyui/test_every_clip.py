"""Every kind of CLIP that people load, in ComfyUI's own classes with a few narrow layers and random weights.

The similarity that a node reports is compared with what ComfyUI's own encoders make of the text it found.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tools.server import error_of

PICTURE = {"class_type": "LoadImage", "inputs": {"image": "example.png"}}
SEARCH = {"steps": 6, "seed": 1, "candidates": 2, "language": 0}
TEXT = "a castle on a hill above the sea at dusk, oil painting by a master, highly detailed"


NONCES = itertools.count(1)


def node(class_type: str, /, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def show(source: str, output: int) -> dict[str, Any]:
    return node("PreviewAny", source=[source, output])


def invert(kind: str, towers: list[str], **clip: Any) -> dict[str, Any]:
    """Picture → prompt on a small CLIP, and the similarity of the prompt by each of `towers`."""
    sockets = {name: [f"vision_{tower}", 0] for name, tower in zip(("clip_vision", "clip_vision_2"), towers)}
    graph = {
        "clip": node("ProbeSmallClip", kind=kind, **clip),
        "picture": PICTURE,
        "pez": node(
            "PEZImageToHardPrompt", image=["picture", 0], prompt_length=4, clip=["clip", 0], **sockets, **SEARCH
        ),
        "conditioning": show("pez", 1),
    }
    for tower in towers:
        graph[f"vision_{tower}"] = node("ProbeSmallVision", tower=tower)
        graph[f"probe_{tower}"] = node(
            "ProbeTowerSimilarity", clip=["clip", 0], image=["picture", 0], text=["pez", 0],
            clip_vision=[f"vision_{tower}", 0], tower=tower, reported=["pez", 2],
        )  # fmt: skip
    return graph


def skip_without_quantised_encoders(server) -> None:
    graph = {"clip": node("ProbeSmallClip", kind="sd1", dtype="quantised", seed=9), "text": show("clip", 0)}
    record = server.finish(server.queue(graph))
    if record["status"]["status_str"] == "error" and "reads no quantised" in error_of(record):
        pytest.skip("this ComfyUI reads no quantised text encoders")


def casts_so_far(server) -> int:
    """How often ComfyUI has cast weights since this was first asked."""
    count: int = server.run({"casts": node("ProbeCasts", nonce=next(NONCES))})["casts"][0]
    return count


def check(server, graph: dict[str, Any], towers: list[str]) -> str:
    """Run; the reported similarity is the mean of the towers' own. Returns the text."""
    shown = server.run(graph)
    recomputed = [shown[f"probe_{tower}"][0] for tower in towers]
    _, reported, text = shown[f"probe_{towers[0]}"]
    assert sum(recomputed) / len(towers) == pytest.approx(reported, abs=0.005)
    assert shown["conditioning"]
    return text


@pytest.mark.parametrize(
    ("kind", "towers"),
    [
        ("sd1", ["clip_l"]),
        ("sd2", ["clip_h"]),
        ("sdxl", ["clip_l"]),
        ("sdxl", ["clip_g"]),
        ("sdxl", ["clip_l", "clip_g"]),
        ("sdxl", ["clip_g", "clip_l"]),
        ("sd3", ["clip_l", "clip_g"]),
        ("flux", ["clip_l"]),
    ],
)
def test_a_prompt_is_learned_on_the_towers_whose_vision_models_are_connected(server, kind, towers):
    check(server, invert(kind, towers), towers)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float8", "quantised"])
def test_weights_of_any_precision_are_read_as_they_are(server, dtype):
    if dtype == "quantised":
        skip_without_quantised_encoders(server)
    check(server, invert("sd1", ["clip_l"], dtype=dtype), ["clip_l"])


@pytest.mark.parametrize("low_memory", [False, True])
def test_the_weights_that_a_lora_patched_are_the_ones_that_count(server, low_memory):
    graph = invert("sd1", ["clip_l"], lora=True, low_memory=low_memory)
    graph["plain"] = node("ProbeSmallClip", kind="sd1")
    graph["probe_plain"] = {
        **graph["probe_clip_l"],
        "inputs": {**graph["probe_clip_l"]["inputs"], "clip": ["plain", 0]},
    }
    shown = server.run(graph)
    recomputed, reported, _ = shown["probe_clip_l"]
    assert recomputed == pytest.approx(reported, abs=0.005)
    assert abs(shown["probe_plain"][0] - reported) > 0.02, "the LoRA must matter"


@pytest.mark.parametrize("lora", [False, True])
def test_a_clip_that_the_vision_model_evicted_is_loaded_again_with_its_lora(server, lora):
    """On short memory, encoding the pictures unloads the CLIP and takes its LoRA off."""
    graph = invert("sd1", ["clip_l"], lora=lora, seed=31)
    stays = {**graph, "text": show("pez", 0)}
    expected = server.run(stays)["text"]
    graph["vision_clip_l"]["inputs"]["evicts"] = True
    graph["text"] = show("pez", 0)
    assert check(server, graph, ["clip_l"]) == expected[0]


def test_sdxl_takes_the_projection_of_clip_l_from_a_file_and_keeps_that_of_clip_g(server):
    graph = invert("sdxl", ["clip_l", "clip_g"], bare=True)
    with pytest.raises(RuntimeError, match="clip has no text_projection for clip_l"):
        server.run(graph)
    graph["pez"]["inputs"]["projection_file"] = "text_encoders/small_projection.safetensors"
    graph["probe_clip_l"]["inputs"]["projection"] = "small_projection.safetensors"
    check(server, graph, ["clip_l", "clip_g"])


def test_weights_that_are_cast_as_needed_give_the_same_prompt(server):
    full, low = (invert("sdxl", ["clip_l", "clip_g"], low_memory=low) for low in (False, True))
    for graph in (full, low):
        graph["text"] = show("pez", 0)
    assert server.run(full)["text"] == server.run(low)["text"]


def test_clip_skip_does_not_change_what_is_learned(server):
    texts = []
    for layer in (-1, -2, -3):
        graph = invert("sd1", ["clip_l"])
        graph["skip"] = node("CLIPSetLastLayer", clip=["clip", 0], stop_at_clip_layer=layer)
        graph["pez"]["inputs"]["clip"] = ["skip", 0]
        texts.append(check(server, graph, ["clip_l"]))
    assert texts[0] == texts[1] == texts[2]


@pytest.mark.parametrize(
    ("kind", "widths", "layer"),
    [
        ("sd1", "64", 0),
        ("sd1", "64", -2),
        ("sd2", "80", 0),
        ("sdxl", "64 96", 0),
        ("sdxl", "64 96", -3),
        ("long sd1", "64", 0),
        ("long sdxl", "64 96", 0),
    ],
)
def test_conditioning_mode_matches_the_token_states_that_samplers_see(server, kind, widths, layer):
    graph = {
        "clip": node("ProbeSmallClip", kind=kind),
        "skip": node("CLIPSetLastLayer", clip=["clip", 0], stop_at_clip_layer=layer or -1),
    }
    clip = ["skip" if layer else "clip", 0]
    graph["pez"] = node(
        "PEZPromptDistill", text=TEXT, ratio=0.3, target_length=0, mode="conditioning", clip=clip, **SEARCH
    )
    graph["whole"] = node("CLIPTextEncode", clip=clip, text=TEXT)
    graph["probe"] = node(
        "ProbeStatesSimilarity", one=["pez", 1], other=["whole", 0], parts=widths, reported=["pez", 2]
    )
    recomputed, reported = server.run(graph)["probe"]
    assert recomputed == pytest.approx(reported, abs=0.005)


LONG_TEXT = " ".join(["a castle on a hill above the sea at dusk with ships and gulls"] * 14 + ["at night by stars"])


@pytest.mark.parametrize(
    ("kind", "towers"), [("sd1", ["clip_l"]), ("flux", ["clip_l"]), ("sdxl", ["clip_l", "clip_g"])]
)
def test_of_a_text_of_200_tokens_a_long_clip_reads_all(server, kind, towers):
    """CLIP-G beside it still reads 75 of them."""
    graph = invert(f"long {kind}", towers)
    sockets = {
        name: graph["pez"]["inputs"][name]
        for name in ("clip", "clip_vision", "clip_vision_2", "image")
        if name in graph["pez"]["inputs"]
    }
    graph["pez"] = node("PEZPromptScore", text=LONG_TEXT, **sockets)
    graph["text"] = node("PrimitiveString", value=LONG_TEXT)
    for tower in towers:
        graph[f"probe_{tower}"]["inputs"] |= {"text": ["text", 0], "reported": ["pez", 0]}
    del graph["conditioning"]
    shown = server.run(graph)
    recomputed = [shown[f"probe_{tower}"][0] for tower in towers]
    assert sum(recomputed) / len(towers) == pytest.approx(shown["probe_clip_l"][1], abs=0.005)


def test_a_long_clip_learns_prompts_that_others_have_no_room_for(server):
    graph = invert("long sd1", ["clip_l"])
    graph["pez"]["inputs"] |= {"prompt_length": 100, "steps": 2}
    check(server, graph, ["clip_l"])
    graph["clip"]["inputs"]["kind"] = "sd1"
    with pytest.raises(RuntimeError, match="take 100 tokens together; shorten them to 75 or fewer"):
        server.run(graph)


def invert_alone(kind: str, **inputs: Any) -> dict[str, Any]:
    graph = invert(kind, ["clip_l"])
    graph["pez"]["inputs"] |= inputs
    return {name: part for name, part in graph.items() if not name.startswith("probe")}


@pytest.mark.parametrize(("kind", "held"), [("t5", "t5xxl"), ("jina", "jina_clip_2")])
def test_a_clip_without_a_clip_tower_says_what_it_holds_and_what_to_connect(server, kind, held):
    if kind not in server.get("/object_info/ProbeSmallClip")["ProbeSmallClip"]["input"]["required"]["kind"][0]:
        pytest.skip(f"this ComfyUI has no {held}")
    message = f"clip holds no CLIP text encoder but {held}; connect an encoder from Load PEZ Encoder instead, or a CLIP"
    graph = invert_alone(kind)
    with pytest.raises(RuntimeError, match=message):
        server.run(graph)
    del graph["pez"]["inputs"]["clip_vision"]
    with pytest.raises(RuntimeError, match=message):
        server.run(graph)


def test_a_clip_without_its_vision_model_says_what_to_connect(server):
    graph = invert_alone("sd1")
    del graph["pez"]["inputs"]["clip_vision"]
    message = "connect the CLIP_VISION that belongs to the CLIP, or an encoder from Load PEZ Encoder"
    with pytest.raises(RuntimeError, match=message):
        server.run(graph)


def test_two_vision_models_of_one_tower_are_refused(server):
    graph = invert("sdxl", ["clip_g", "clip_l"])
    graph["vision_clip_l"]["inputs"] |= {"tower": "clip_g", "evicts": True}
    graph = {name: part for name, part in graph.items() if not name.startswith("probe")}
    with pytest.raises(RuntimeError, match="clip_vision and clip_vision_2 both belong to clip_g; leave one"):
        server.run(graph)


def test_one_vision_model_in_both_sockets_is_one_vision_model(server):
    graph = invert("sdxl", ["clip_g"])
    graph["text"] = show("pez", 0)
    once = check(server, graph, ["clip_g"])
    graph["pez"]["inputs"]["clip_vision_2"] = ["vision_clip_g", 0]
    assert check(server, graph, ["clip_g"]) == once


@pytest.fixture
def products(server):
    """A graph whose CLIP goes through a node that changes how products are taken, until the test ends."""

    def through(graph: dict[str, Any], kind: str) -> dict[str, Any]:
        graph["products"] = node("ProbeProducts", clip=["clip", 0], products=kind, nonce=next(NONCES))
        graph["pez"]["inputs"]["clip"] = ["products", 0]
        return graph

    yield through
    usual = node("ProbeProducts", clip=["clip", 0], products="as usual", nonce=next(NONCES))
    server.run({"clip": node("ProbeSmallClip", kind="sd1"), "products": usual})


@pytest.mark.parametrize("stored", ["float32", "float16", "float8", "quantised"])
@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_products_in_half_precision_as_on_a_gpu_give_what_the_encoder_gives(server, products, kind, stored):
    if stored == "quantised":
        skip_without_quantised_encoders(server)
    check(server, products(invert("sdxl", ["clip_l", "clip_g"], dtype=stored), kind), ["clip_l", "clip_g"])


@pytest.mark.parametrize("clip", [{"dtype": "float16"}, {"lora": True, "low_memory": True}])
def test_without_memory_for_copies_weights_are_cast_as_needed_and_the_prompt_is_the_same(server, products, clip):
    casts = [casts_so_far(server)]
    expected = check(server, invert("sd1", ["clip_l"], **clip, seed=3), ["clip_l"])
    casts.append(casts_so_far(server))
    assert check(server, products(invert("sd1", ["clip_l"], **clip, seed=3), "no room"), ["clip_l"]) == expected
    casts.append(casts_so_far(server))
    assert casts[2] - casts[1] > casts[1] - casts[0]


def test_a_layer_that_does_more_than_a_product_is_run_as_it_is(server):
    plain, bypassed = invert("sd1", ["clip_l"]), invert("sd1", ["clip_l"], bypassed=True)
    assert check(server, plain, ["clip_l"]) and check(server, bypassed, ["clip_l"])


@pytest.mark.parametrize("clip", [{}, {"dtype": "float16"}, {"lora": True, "low_memory": True}])
def test_weights_are_cast_once_for_a_search_and_held_no_longer(server, clip):
    graph = invert_alone("sd1")
    graph["clip"]["inputs"] |= clip
    graph["held"] = node("ProbeHeld", after=["pez", 0])

    def casts(steps: int) -> int:
        before = casts_so_far(server)
        graph["pez"]["inputs"]["steps"] = steps
        assert server.run(graph)["held"] == [0]
        return casts_so_far(server) - before

    casts(3)
    assert casts(4) == casts(14) > 0


@pytest.mark.parametrize("clip", [{}, {"dtype": "float16"}, {"dtype": "quantised"}, {"lora": True}])
def test_no_weight_changes(server, clip):
    if clip.get("dtype") == "quantised":
        skip_without_quantised_encoders(server)

    def fingerprint(nonce: int) -> str:
        graph = invert("sdxl" if not clip else "sd1", ["clip_l"], **clip)
        graph["probe"] = node("ProbeFingerprint", clip=["clip", 0], clip_vision=["vision_clip_l", 0], nonce=nonce)
        return server.run({name: graph[name] for name in ("clip", "vision_clip_l", "probe")})["probe"][0]

    before = fingerprint(1)
    server.run(invert("sdxl" if not clip else "sd1", ["clip_l"], **clip))
    assert fingerprint(2) == before
