"""Every node, queued over the HTTP API of a real server."""

from __future__ import annotations

import time
from io import BytesIO
from typing import Any

import pytest
import requests
from PIL import Image

from benchmarks import sheets
from tools.server import REPOSITORY, error_of

DATA = REPOSITORY / "tests" / "data"

SEARCH = {"steps": 4, "seed": 1, "candidates": 2, "language": 0}
CLIP = {"class_type": "CLIPLoader", "inputs": {"clip_name": "clip_l.safetensors", "type": "stable_diffusion"}}
BARE_CLIP = {
    "class_type": "CLIPLoader",
    "inputs": {"clip_name": "no_projection.safetensors", "type": "stable_diffusion"},
}
VISION = {"class_type": "CLIPVisionLoader", "inputs": {"clip_name": "vit_l.safetensors"}}
WRONG_VISION = {"class_type": "CLIPVisionLoader", "inputs": {"clip_name": "vit_h.safetensors"}}
EMBEDDED = {"class_type": "PEZLoadEncoder", "inputs": {"model": "embedded", "pretrained": ""}}
PICTURE = {"class_type": "LoadImage", "inputs": {"image": "00.png"}}
OTHER_PICTURE = {"class_type": "LoadImage", "inputs": {"image": "01.png"}}


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def show(source: str, output: int) -> dict[str, Any]:
    return node("PreviewAny", source=[source, output])


def invert_on_clip(**changes: Any) -> dict[str, Any]:
    """Picture → prompt on the CLIP that ComfyUI loaded."""
    inputs = {"image": ["picture", 0], "prompt_length": 6, "clip": ["clip", 0], "clip_vision": ["vision", 0], **SEARCH}
    return {
        "clip": CLIP,
        "vision": VISION,
        "picture": PICTURE,
        "pez": node("PEZImageToHardPrompt", **{**inputs, **changes}),
        "text": show("pez", 0),
        "similarity": show("pez", 2),
    }


def invert_on_embedded(**changes: Any) -> dict[str, Any]:
    inputs = {"image": ["picture", 0], "prompt_length": 6, "encoder": ["encoder", 0], **SEARCH, **changes}
    return {
        "encoder": EMBEDDED,
        "picture": PICTURE,
        "pez": node("PEZImageToHardPrompt", **inputs),
        "text": show("pez", 0),
    }


def failure(server, graph: dict[str, Any]) -> str:
    with pytest.raises(RuntimeError) as error:
        server.run(graph)
    return str(error.value)


def test_every_node_has_tooltips_and_the_outputs_of_its_kind(server):
    nodes = server.get("/object_info")
    ours = {name: info for name, info in nodes.items() if name.startswith("PEZ")}
    for info in ours.values():
        assert info["category"] == "PEZ"
        inputs = {**info["input"].get("required", {}), **info["input"].get("optional", {})}
        assert all(spec[1].get("tooltip") for spec in inputs.values())
    for name in ("PEZImageToHardPrompt", "PEZPromptDistill", "PEZPromptConcat", "PEZStyleExtract"):
        assert ours[name]["output"][:3] == ["STRING", "CONDITIONING", "FLOAT"]
        assert ours[name]["output_name"][:3] == ["prompt", "conditioning", "similarity"]
    for name in ("PEZImageToHardPrompt", "PEZPromptDistill", "PEZStyleExtract", "PEZNegativePrompt"):
        assert ours[name]["output"][-2:] == ["IMAGE", "STRING"]
        assert ours[name]["output_name"][-2:] == ["curve", "alternatives"]
        assert ours[name]["output_is_list"] == [False] * (len(ours[name]["output"]) - 1) + [True]
    assert ours["PEZImageToHardPrompt"]["input"]["required"]["seed"][1]["control_after_generate"]


@pytest.mark.parametrize("token_filter", ["ascii words", "all"])
def test_similarity_and_conditioning_are_what_comfyui_makes_of_the_text(server, token_filter):
    graph = invert_on_clip(settings=["settings", 0], steps=8)
    graph["settings"] = node(
        "PEZSearchSettings", learning_rate=0.1, weight_decay=0.1, token_filter=token_filter,
        blocklist="", prefix="", suffix="", time_budget=0.0,
    )  # fmt: skip
    graph["probe"] = node(
        "ProbeSimilarity", clip=["clip", 0], clip_vision=["vision", 0], image=["picture", 0],
        conditioning=["pez", 1], text=["pez", 0], reported=["pez", 2],
    )  # fmt: skip
    shown = server.run(graph)
    recomputed, reported, text, same_conditioning, weights = shown["probe"]
    assert text == shown["text"][0] and text
    assert recomputed == pytest.approx(reported, abs=0.005)
    assert same_conditioning is True
    assert weights == [1.0]


def test_no_weight_changes(server):
    def fingerprint(nonce: int) -> str:
        probe = node("ProbeFingerprint", clip=["clip", 0], clip_vision=["vision", 0], nonce=nonce)
        return server.run({"clip": CLIP, "vision": VISION, "probe": probe})["probe"][0]

    before = fingerprint(1)
    server.run(invert_on_clip(seed=11))
    assert fingerprint(2) == before


def test_the_same_seed_gives_the_same_prompt_and_is_not_run_again(server):
    first = server.run(invert_on_clip(seed=21))
    graph = invert_on_clip(seed=21)
    record = server.finish(server.queue(graph))
    cached = next(details["nodes"] for kind, details in record["status"]["messages"] if kind == "execution_cached")
    assert "pez" in cached
    again = server.run(invert_on_clip(seed=22, steps=3))
    assert first["text"][0] and again["text"][0] != first["text"][0]


def test_distill_keeps_at_most_the_tokens_asked_for(server):
    text = "a very long prompt about (a castle:1.3) on a hill above the sea at dusk with birds"
    graph = {
        "clip": CLIP,
        "pez": node("PEZPromptDistill", text=text, ratio=0.3, target_length=0, clip=["clip", 0], **SEARCH),
        "text": show("pez", 0),
        "tokens": show("pez", 3),
    }
    shown = server.run(graph)
    assert shown["text"][0] and 1 <= int(shown["tokens"][0]) <= 6
    graph["pez"]["inputs"]["target_length"] = 2
    assert int(server.run(graph)["tokens"][0]) <= 2


def test_an_encoder_distills_by_its_token_states_too(server):
    def graph(mode: str) -> dict[str, Any]:
        pez = node(
            "PEZPromptDistill", text="a red rocket above the sea", ratio=0.5, target_length=0, mode=mode,
            encoder=["e", 0], **SEARCH,
        )  # fmt: skip
        return {"e": EMBEDDED, "pez": pez, "similarity": show("pez", 2)}

    by_feature, by_states = (float(server.run(graph(mode))["similarity"][0]) for mode in ("pooled", "conditioning"))
    assert 0 < by_feature < 1 and 0 < by_states < 1 and by_feature != by_states


def test_pictures_to_avoid_turn_the_words_away(server):
    def graph(kind: str, **avoid: Any) -> dict[str, Any]:
        pictures = (
            {"image": ["picture", 0]} if kind == "PEZImageToHardPrompt" else {"images": ["picture", 0], "subject": ""}
        )
        pez = node(
            kind,
            prompt_length=6,
            steps=60,
            seed=1,
            candidates=2,
            language=0,
            encoder=["encoder", 0],
            **pictures,
            **avoid,
        )
        score = node("PEZPromptScore", text=["pez", 0], image=["other", 0], encoder=["encoder", 0])
        graph = {"encoder": EMBEDDED, "picture": PICTURE, "other": OTHER_PICTURE, "pez": pez, "score": score}
        return graph | {"avoided": show("score", 0)}

    for kind in ("PEZImageToHardPrompt", "PEZStyleExtract"):
        alone, apart = server.run(graph(kind)), server.run(graph(kind, avoid=["other", 0]))
        assert float(apart["avoided"][0]) < float(alone["avoided"][0])


def test_distill_does_without_the_projection_but_pictures_do_not(server):
    text = "a castle on a hill above the sea"
    distill = node("PEZPromptDistill", text=text, ratio=0.5, target_length=0, clip=["clip", 0], **SEARCH)
    shown = server.run({"clip": BARE_CLIP, "pez": distill, "similarity": show("pez", 2)})
    assert 0 < float(shown["similarity"][0]) <= 1.0001
    message = failure(server, invert_on_clip(seed=31) | {"clip": BARE_CLIP})
    assert "clip has no text_projection for clip_l" in message and "projection_file" in message


def test_a_checkpoint_without_text_projection_is_noticed(server):
    """Even after another CLIP has been unloaded, whose memory the uninitialised projection may then show."""
    server.run(invert_on_clip(seed=35))
    checkpoint = node("CheckpointLoaderSimple", ckpt_name="sd15.safetensors")
    graph = invert_on_clip(seed=36, clip=["checkpoint", 1]) | {"checkpoint": checkpoint}
    assert "clip has no text_projection for clip_l, as in SD1.5 checkpoints" in failure(server, graph)
    graph["pez"]["inputs"]["projection_file"] = "text_encoders/clip_l.safetensors"
    assert server.run(graph)["text"][0]


def test_a_projection_file_stands_in(server):
    with_file = invert_on_clip(seed=41, projection_file="text_encoders/clip_l.safetensors") | {"clip": BARE_CLIP}
    assert server.run(with_file)["text"] == server.run(invert_on_clip(seed=41))["text"]
    message = failure(server, invert_on_clip(projection_file="clip_vision/vit_l.safetensors") | {"clip": BARE_CLIP})
    assert "has no text_projection of width 768" in message
    message = failure(server, invert_on_clip(projection_file="text_encoders/broken.safetensors") | {"clip": BARE_CLIP})
    assert "cannot be read" in message


def test_concat_takes_two_to_eight_prompts(server):
    strings = {f"s{i}": node("PrimitiveString", value=f"word{i}") for i in range(1, 9)}
    for count in (2, 8):
        prompts = {f"prompt_{i}": [f"s{i}", 0] for i in range(1, count + 1)}
        pez = node("PEZPromptConcat", separator=", ", clip=["clip", 0], **prompts)
        shown = server.run({"clip": CLIP, **strings, "pez": pez, "text": show("pez", 0), "similarity": show("pez", 2)})
        assert shown["text"][0] == ", ".join(f"word{i}" for i in range(1, count + 1))
        assert 0 < float(shown["similarity"][0]) <= 1.0001


def test_style_puts_the_subject_before_the_words(server):
    pez = node(
        "PEZStyleExtract", images=["picture", 0], images_2=["other", 0], subject="a cat", prompt_length=4,
        clip=["clip", 0], clip_vision=["vision", 0], **SEARCH,
    )  # fmt: skip
    encode = node("CLIPTextEncode", clip=["clip", 0], text=["joined", 0])
    joined = node("StringConcatenate", string_a="a cat", string_b=["pez", 0], delimiter=" ")
    graph = {"clip": CLIP, "vision": VISION, "picture": PICTURE, "other": OTHER_PICTURE, "pez": pez}
    graph |= {"joined": joined, "encode": encode, "text": show("pez", 0)}
    graph["ours"], graph["comfyui"] = show("pez", 1), show("encode", 0)
    shown = server.run(graph)
    assert shown["text"][0] and shown["ours"] == shown["comfyui"]


def test_the_embedded_encoder_needs_no_clip(server):
    assert server.run(invert_on_embedded())["text"][0]
    graph = invert_on_embedded(seed=2) | {"conditioning": show("pez", 1)}
    shown = server.run(graph)
    assert shown["text"][0] and "conditioning" not in shown, "what hangs on the missing conditioning must not run"


def test_a_run_shows_its_prompt_tokens_curve_and_notes_on_the_node(server):
    graph = invert_on_embedded(seed=61, steps=30)
    graph["size"] = node("GetImageSize", image=["pez", 3])
    graph["width"] = show("size", 0)
    record = server.finish(server.queue(graph))
    (found,) = record["outputs"]["pez"]["pez"]
    assert found["text"] == record["outputs"]["text"]["text"][0]
    assert found["measure"] == "similarity" and found["notes"] == []
    assert [piece for piece, _ in found["pieces"]] == found["text"].split()
    assert found["curve"] == sorted(found["curve"]) and len(found["curve"]) == 36
    assert record["outputs"]["width"]["text"] == ["640"]


def test_a_text_of_several_windows_says_what_is_lost(server):
    strings = {f"s{i}": node("PrimitiveString", value=f"{word} " * 60) for i, word in ((1, "red"), (2, "rocket"))}
    pez = node("PEZPromptConcat", separator=", ", encoder=["e", 0], prompt_1=["s1", 0], prompt_2=["s2", 0])
    record = server.finish(server.queue({"e": EMBEDDED, **strings, "pez": pez}))
    (note,) = record["outputs"]["pez"]["pez"][0]["notes"]
    assert note.startswith("The text takes 2 windows of 75 tokens") and "rocket rocket" in note
    style = node(
        "PEZStyleExtract", images=["picture", 0], subject="red " * 80, prompt_length=3, encoder=["e", 0], **SEARCH
    )
    record = server.finish(server.queue({"e": EMBEDDED, "picture": PICTURE, "pez": style}))
    assert "takes 2 windows" in record["outputs"]["pez"]["pez"][0]["notes"][0]


def test_a_negative_prompt_is_near_to_what_is_to_be_avoided_and_far_from_what_is_to_be_kept(server):
    def graph(**keep: Any) -> dict[str, Any]:
        pez = node(
            "PEZNegativePrompt", avoid=["picture", 0], prompt_length=6, steps=60, seed=1, candidates=2, language=0,
            encoder=["encoder", 0], **keep,
        )  # fmt: skip
        kept = node("PEZPromptScore", text=["pez", 0], image=["other", 0], encoder=["encoder", 0])
        graph = {"encoder": EMBEDDED, "picture": PICTURE, "other": OTHER_PICTURE, "pez": pez, "score": kept}
        return graph | {"avoided": show("pez", 2), "kept": show("score", 0)}

    alone, apart = server.run(graph()), server.run(graph(keep=["other", 0]))
    assert float(alone["avoided"][0]) > 0.6
    assert float(apart["kept"][0]) < float(alone["kept"][0])


def test_a_text_is_scored_by_the_clip_and_a_reference_side_by_side(server):
    score = node(
        "PEZPromptScore", text="a red rocket", image=["both", 0], clip=["clip", 0], clip_vision=["vision", 0],
        encoder=["encoder", 0],
    )  # fmt: skip
    graph = {"clip": CLIP, "vision": VISION, "encoder": EMBEDDED, "picture": PICTURE, "score": score}
    graph |= {"other": OTHER_PICTURE, "both": node("ImageBatch", image1=["picture", 0], image2=["other", 0])}
    shown = server.run(graph | {"similarity": show("score", 0), "table": show("score", 1)})
    lines = shown["table"][0].splitlines()
    assert lines[0].split() == ["picture", "clip_l", "embedded"]
    assert [line.split()[0] for line in lines[1:4]] == ["1", "2", "mean"]
    assert float(lines[3].split()[1]) == pytest.approx(float(shown["similarity"][0]), abs=5e-4)
    assert lines.count(next(line for line in lines if line.startswith("token") and "embedded" in line)) == 1
    assert sum(line.startswith("rocket") for line in lines) == 2


def test_the_editors_search_knows_other_names_where_comfyui_has_a_place_for_them(server):
    nodes = server.get("/object_info")
    if not any("search_aliases" in info for info in nodes.values()):
        pytest.skip("this ComfyUI has no search aliases")
    assert "clip interrogator" in nodes["PEZImageToHardPrompt"]["search_aliases"]


def test_settings_reach_the_search(server):
    graph = invert_on_embedded(settings=["settings", 0], steps=20)
    graph["settings"] = node(
        "PEZSearchSettings", learning_rate=0.1, weight_decay=0.1, token_filter="ascii words",
        blocklist="red, blue\ngreen", prefix="a drawing of", suffix="in colour", time_budget=60.0,
    )  # fmt: skip
    (text,) = server.run(graph)["text"]
    assert text.startswith("a drawing of ") and text.endswith(" in colour")


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (
            invert_on_clip() | {"vision": WRONG_VISION},
            "clip_vision gives features of width 1024, but clip has clip_l (768)",
        ),
        (invert_on_embedded(image=["nan", 0]) | {"nan": node("ProbeNoisyImage")}, "picture holds NaN"),
        (
            {
                "e": EMBEDDED,
                "pez": node("PEZPromptDistill", text=" ", ratio=0.3, target_length=0, encoder=["e", 0], **SEARCH),
                "text": show("pez", 0),
            },
            "prompt to distill is empty",
        ),
        (
            {"score": node("PEZPromptScore", text="a rocket", image=["picture", 0]), "picture": PICTURE},
            "clip is not connected; connect a CLIP with its CLIP_VISION, an encoder, or both",
        ),
        (
            {"e": node("PEZLoadEncoder", model="ViT-X", pretrained=""), "text": show("e", 0)},
            "model 'ViT-X' is unknown",
        ),
        (
            {"e": node("PEZLoadEncoder", model="ViT-L-14", pretrained="../x.safetensors"), "text": show("e", 0)},
            "is not a tag",
        ),
    ],
)
def test_bad_input_gets_one_clear_sentence(server, graph, message):
    error = failure(server, graph)
    assert message in error and "PezError" in error and error.strip().count("\n") == 0


def test_nothing_connected_says_what_to_connect(server):
    graph = invert_on_clip()
    del graph["pez"]["inputs"]["clip"]
    assert "clip is not connected" in failure(server, graph)
    graph = invert_on_clip()
    del graph["pez"]["inputs"]["clip_vision"]
    assert "clip_vision is not connected" in failure(server, graph)


def test_lengths_outside_every_context_are_refused_before_running_and_others_in_a_sentence(server):
    for length in (0, 247):
        with pytest.raises(ValueError, match="prompt_length"):
            server.queue(invert_on_clip(prompt_length=length))
    assert "take 76 tokens together; shorten them to 75 or fewer" in failure(server, invert_on_clip(prompt_length=76))


def test_cancel_stops_at_once_and_leaves_everything_as_it_was(server):
    expected = server.run(invert_on_clip(seed=51))
    identity = server.queue(invert_on_clip(seed=52, steps=100_000))
    time.sleep(8)
    assert server.get("/queue")["queue_running"], "the search should still run when it is cancelled"
    server.post("/interrupt", {})
    record = server.finish(identity, seconds=20)
    assert error_of(record) == "execution_interrupted"
    assert server.run(invert_on_clip(seed=51))["text"] == expected["text"]


def test_an_example_picture_is_what_its_name_says(server):
    titles = server.get("/object_info")["PEZExamplePicture"]["input"]["required"]["picture"]
    options = titles[1].get("options") or titles[0]
    truth = {f"{fact['concept']} ({fact['style']})": fact for fact in sheets.read(DATA, "contents").facts}
    assert len(options) == 16 and set(options) <= truth.keys()
    tiles = sheets.cut(DATA / "contents.png", len(truth))
    for title in (options[0], options[-1], options[0]):  # the last one from the cache
        graph = {"example": node("PEZExamplePicture", picture=title), "name": show("example", 1)}
        outputs = server.finish(server.queue(graph))["outputs"]
        (shown,) = outputs["example"]["images"]
        picture = requests.get(f"{server.url}/view", params=shown, timeout=30).content
        number = int(truth[title]["tile"].removeprefix("contents/").removesuffix(".png"))
        assert Image.open(BytesIO(picture)).convert("RGB").tobytes() == tiles[number].tobytes()
        assert outputs["name"]["text"] == [truth[title]["concept"]]


@pytest.mark.parametrize(
    ("model", "pretrained", "message"),
    [
        ("custom", " ", "pretrained is empty; for a custom model write its name and tag"),
        ("custom", "ViT-X / openai", "model 'ViT-X' is unknown"),
        ("custom", "ViT-B-32 / no_tag", "pretrained 'no_tag' is neither a tag of model 'ViT-B-32' nor a file"),
        ("ViT-B-32 / no_tag", "openai", "pretrained 'no_tag' is neither a tag of model 'ViT-B-32' nor a file"),
        ("ViT-B-32", "no_tag", "pretrained 'no_tag' is neither a tag of model 'ViT-B-32' nor a file"),
    ],
)
def test_a_model_is_named_by_the_list_by_custom_and_as_before(server, model, pretrained, message):
    graph = {"e": node("PEZLoadEncoder", model=model, pretrained=pretrained), "text": show("e", 0)}
    assert message in failure(server, graph)
