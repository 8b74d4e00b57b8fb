"""What goes wrong in practice, Cancel, no memory, odd pictures and texts, broken files: nothing may break a server."""

from __future__ import annotations

import json
import random
import struct
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tools.server import error_of

STEPS, CANCELS, SEEDS = 12, 50, 5
EMBEDDED = {"class_type": "PEZLoadEncoder", "inputs": {"model": "embedded", "pretrained": ""}}
PICTURE = {"class_type": "LoadImage", "inputs": {"image": "example.png"}}


def node(class_type: str, /, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def show(source: str, output: int = 0) -> dict[str, Any]:
    return node("PreviewAny", source=[source, output])


def invert(**changes: Any) -> dict[str, Any]:
    inputs = {"image": ["picture", 0], "prompt_length": 4, "steps": STEPS, "seed": 1, "candidates": 2, "language": 0}
    pez = node("PEZImageToHardPrompt", **{**inputs, "encoder": ["encoder", 0], **changes})
    return {"encoder": EMBEDDED, "picture": PICTURE, "pez": pez, "text": show("pez")}


def failure(server, graph: dict[str, Any]) -> str:
    """The message of a run that must fail, and must fail as we say it: one sentence, no traceback of ours."""
    record = server.finish(server.queue(graph))
    assert record["status"]["status_str"] == "error"
    (details,) = (details for kind, details in record["status"]["messages"] if kind == "execution_error")
    assert details["exception_type"].endswith("PezError"), details["exception_message"]
    assert details["exception_message"].strip().count("\n") == 0
    return details["exception_message"]


def shown_on_node(server, graph: dict[str, Any]) -> dict[str, Any]:
    """What the PEZ node shows on itself after it has run."""
    record = server.finish(server.queue(graph))
    assert record["status"]["status_str"] == "success", error_of(record)
    return record["outputs"]["pez"]["pez"][0]


@pytest.mark.slow  # 105 searches
def test_cancel_at_any_step_stops_within_one_and_leaves_no_trace(server, capsys):
    """50 times: the same workflow then runs to the same result, and the server does not grow."""

    def graph(seed: int, step: int, nonce: int) -> dict[str, Any]:
        return invert(seed=seed, image=["cancel", 0]) | {
            "cancel": node("ProbeCancelAt", image=["picture", 0], step=step, nonce=nonce)
        }

    def resident() -> int:
        return psutil.Process(server.process_id).memory_info().rss

    draw = random.Random(0)
    expected = {seed: server.run(graph(seed, 0, 0))["text"] for seed in range(SEEDS)}
    before, sizes = len(server.run({"clicks": node("ProbeClicks", nonce=0)})["clicks"][0]), []
    for turn in range(1, CANCELS + 1):
        seed = turn % SEEDS
        record = server.finish(server.queue(graph(seed, draw.randint(1, STEPS + 1), turn)))
        assert error_of(record) == "execution_interrupted"
        assert server.run(graph(seed, 0, turn))["text"] == expected[seed]
        sizes.append(resident())
    clicks = server.run({"clicks": node("ProbeClicks", nonce=1)})["clicks"][0][before:]
    with capsys.disabled():
        print(f"\n  {CANCELS} cancels; steps after the click {set(clicks)}; ", end="")
        print(f"resident {sizes[9] / 2**20:.0f} MiB after 10, {sizes[-1] / 2**20:.0f} MiB after {CANCELS}", end="")
    assert clicks == [1] * CANCELS
    assert sizes[-1] <= sizes[9] * 1.01


def test_without_memory_for_all_candidates_half_of_them_go_on_and_it_is_said_once(server):
    graph = invert(candidates=8, seed=71, encoder=["cramped", 0])
    graph["cramped"] = node("ProbeCramped", encoder=["encoder", 0], room=4)
    shown = shown_on_node(server, graph)
    assert shown["text"] and shown["notes"] == ["Not enough memory for all candidates; 4 of them went on."]
    assert server.log.read_text().count("PEZ: not enough memory for 8 candidates; 4 go on.") == 1


def test_without_memory_for_one_the_error_is_clear_and_the_models_are_still_usable(server):
    graph = invert(candidates=2, seed=72, encoder=["cramped", 0])
    graph["cramped"] = node("ProbeCramped", encoder=["encoder", 0], room=0)
    assert "candidates is 1 and the device is out of memory; shorten prompt_length" in failure(server, graph)
    assert shown_on_node(server, invert(seed=72))["text"]


def test_an_encoder_of_ours_is_comfyuis_to_unload_and_comes_back(server):
    def loaded(nonce: int, unload: bool) -> list[str]:
        probe = node("ProbeLoaded", nonce=nonce, unload=unload, encoder=["encoder", 0])
        return server.run({"encoder": EMBEDDED, "loaded": probe})["loaded"][0]

    first = shown_on_node(server, invert(seed=73))
    assert "CLIP" in loaded(1, False)
    assert loaded(2, True) == []
    assert shown_on_node(server, invert(seed=74))["text"] != first["text"]
    assert "CLIP" in loaded(3, False)


def test_prompts_queued_one_after_the_other_do_not_mix_their_clips(server):
    def graph(kind: str, tower: str, nonce: int) -> dict[str, Any]:
        sockets = {"clip": ["clip", 0], "clip_vision": ["vision", 0]}
        graph = invert(seed=3, **sockets) | {
            "clip": node("ProbeSmallClip", kind=kind, seed=nonce),
            "vision": node("ProbeSmallVision", tower=tower),
        }
        del graph["pez"]["inputs"]["encoder"], graph["encoder"]
        return graph

    alone = [shown_on_node(server, graph(kind, tower, 81)) for kind, tower in (("sd1", "clip_l"), ("sd2", "clip_h"))]
    server.run({"elsewhere": EMBEDDED, "text": show("elsewhere")})
    queued = [server.queue(graph(kind, tower, 81)) for kind, tower in (("sd2", "clip_h"), ("sd1", "clip_l"))]
    together = [server.finish(identity)["outputs"]["pez"]["pez"][0] for identity in reversed(queued)]
    assert [found.pop("run") for found in together] == queued[::-1]
    assert [found | {"run": None} for found in alone] == [found | {"run": None} for found in together]


def test_the_same_prompt_is_not_run_again_and_another_seed_is(server):
    def cached(seed: int) -> bool:
        record = server.finish(server.queue(invert(seed=seed)))
        return any("pez" in details["nodes"] for kind, details in record["status"]["messages"] if "cached" in kind)

    assert [cached(91), cached(91), cached(92)] == [False, True, False]


@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 3), (1, 8192, 8192, 3), (2, 20, 30, 4), (3, 9, 7, 1), (500, 16, 16, 3), (1, 1, 500, 3)]
)
def test_pictures_of_any_size_give_a_prompt(server, shape):
    batch, height, width, channels = shape
    graph = invert(steps=2)
    graph["picture"] = node("ProbePicture", batch=batch, height=height, width=width, channels=channels, value=0.4)
    assert shown_on_node(server, graph)["text"]


@pytest.mark.parametrize(
    ("shape", "value", "message"),
    [
        ((0, 8, 8, 3), 0.5, "pictures are missing"),
        ((1, 8, 8, 3), -1.0, "picture holds NaN"),
        ((1, 8, 8, 2), 0.5, "picture has the shape (8, 8, 2)"),
        ((1, 0, 8, 3), 0.5, "picture has the shape (0, 8, 3)"),
    ],
)
def test_pictures_that_are_none_get_one_sentence(server, shape, value, message):
    batch, height, width, channels = shape
    graph = invert(steps=2)
    graph["picture"] = node("ProbePicture", batch=batch, height=height, width=width, channels=channels, value=value)
    assert message in failure(server, graph)


TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    st.text("()[]{}<>\\:|,.0123456789 embedding:lora", max_size=60),
    st.sampled_from(["x" * 10_000, "🚀" * 2_000, "word " * 2_000, "(" * 500, "((a:1.2):0.5)", "embedding:none", "\0"]),
)


@pytest.mark.slow  # 150 graphs, one after the other
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=TEXTS)
def test_any_text_gets_a_result_or_one_sentence(server, text):
    graph = {
        "clip": node("ProbeSmallClip", kind="sd1"),
        "pez": node("PEZPromptDistill", text=text, ratio=0.2, target_length=3, steps=1, seed=1, candidates=1,
                    clip=["clip", 0]),
    }  # fmt: skip
    record = server.finish(server.queue(graph))
    if record["status"]["status_str"] == "success":
        assert record["outputs"]["pez"]["pez"][0]["text"]
        return
    assert "prompt to distill is empty" in failure(server, graph), text


def invert_on_small_clip(**changes: Any) -> dict[str, Any]:
    graph = invert(clip=["clip", 0], clip_vision=["vision", 0], **changes)
    del graph["pez"]["inputs"]["encoder"], graph["encoder"]
    return graph | {
        "clip": node("ProbeSmallClip", kind="sd1"),
        "vision": node("ProbeSmallVision", tower="clip_l"),
    }


def hostile_headers() -> dict[str, bytes]:
    """Files that end in .safetensors and are none."""
    wide = {"text_projection.weight": {"dtype": "F32", "shape": [768, 768], "data_offsets": [0, 768 * 768 * 4]}}
    outside = {"text_projection.weight": {"dtype": "F32", "shape": [768, 768], "data_offsets": [0, 2**60]}}

    def file(header: Any) -> bytes:
        text = json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text

    return {
        "truncated": file(wide) + b"\0" * 1000,
        "outside": file(outside),
        "endless": struct.pack("<Q", 2**62) + b"{}",
        "no_json": struct.pack("<Q", 9) + b"not json!",
        "empty": b"",
        "pickle": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00cposix\nsystem\n",
    }


@pytest.mark.parametrize("name", hostile_headers())
def test_a_broken_file_is_an_error_and_runs_nothing(server, name):
    (server.base / "models/text_encoders" / f"{name}.safetensors").write_bytes(hostile_headers()[name])
    server.get("/object_info/PEZImageToHardPrompt")
    graph = invert_on_small_clip(projection_file=f"text_encoders/{name}.safetensors")
    assert "cannot be read; give a whole safetensors file" in failure(server, graph)


@pytest.mark.parametrize(
    "choice",
    ["text_encoders/../../secret.safetensors", "../secret.safetensors", "/etc/passwd", "text_encoders/model.pt"],
)
def test_file_inputs_cannot_leave_the_model_folders_or_name_a_pickle(server, choice):
    (server.base / "secret.safetensors").write_bytes(b"")
    (server.base / "models/text_encoders/model.pt").write_bytes(b"")
    for name, graph in (
        ("pez", invert_on_small_clip(projection_file=choice)),
        ("encoder", {"encoder": node("PEZLoadEncoder", model="ViT-L-14", pretrained="", file=choice)}),
    ):
        graph["text"] = show(name)
        try:
            server.queue(graph)
        except ValueError as refused:
            assert "not in list" in str(refused)
        else:  # a ComfyUI that does not look at optional choices
            assert "is not in ComfyUI's model folders; choose one from the list" in failure(server, graph)
