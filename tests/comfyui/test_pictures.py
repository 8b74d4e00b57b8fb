"""Pictures against pictures, and prompts by their pictures, in a real server."""

from __future__ import annotations

from typing import Any

import pytest
from test_nodes import CLIP, EMBEDDED, OTHER_PICTURE, PICTURE, VISION, failure, invert_on_embedded, node, show

from pez_core import load_encoder
from pez_core.encoders.pictures import open_pictures


@pytest.fixture(scope="module")
def features(server):
    return load_encoder().encode_images(open_pictures([server.base / "input" / f"{name}.png" for name in ("00", "01")]))


def similarity(**inputs: Any) -> dict[str, Any]:
    graph = {"encoder": EMBEDDED, "vision": VISION, "one": PICTURE, "two": OTHER_PICTURE}
    graph["both"] = node("ImageBatch", image1=["one", 0], image2=["two", 0])
    graph["pez"] = node("PEZPictureSimilarity", **inputs)
    return graph | {"value": show("pez", 0), "table": show("pez", 1), "matrix": node("PreviewImage", images=["pez", 2])}


def test_pictures_are_compared_with_others_by_an_encoder(server, features):
    shown = server.run(similarity(images=["one", 0], others=["two", 0], encoder=["encoder", 0]))
    assert float(shown["value"][0]) == pytest.approx((features[0] @ features[1]).item(), abs=1e-4)


def test_without_others_they_are_compared_with_each_other(server, features):
    shown = server.run(similarity(images=["both", 0], encoder=["encoder", 0]))
    assert float(shown["value"][0]) == pytest.approx((features[0] @ features[1]).item(), abs=1e-4)
    assert [line.split()[1:3] for line in shown["table"][0].splitlines()[1:]] == [
        ["1.000", shown["table"][0].split()[5]], [shown["table"][0].split()[5], "1.000"],
    ]  # fmt: skip


def test_any_vision_model_will_do(server):
    shown = server.run(similarity(images=["one", 0], others=["both", 0], clip_vision=["vision", 0]))
    assert shown["table"][0].split()[4] == "1.000"
    missing = "clip_vision is not connected; connect any CLIP_VISION, or an encoder from Load PEZ Encoder."
    assert missing in failure(server, similarity(images=["one", 0]))


def pick(wanted: str, count: int = 1, **changes: Any) -> dict[str, Any]:
    """Alternatives → a picture of each → the best of them for a picture of the text `wanted`."""
    graph = invert_on_embedded(candidates=4, seed=3)
    graph["each"] = show("pez", 4)
    graph["drawn"] = node("ProbePainted", text=["pez", 4], count=count)
    graph["text"] = node("PrimitiveStringMultiline", value=wanted)
    graph["wanted"] = node("ProbePainted", text=["text", 0], count=1)
    inputs = {"prompts": ["pez", 4], "images": ["drawn", 0], "wanted": ["wanted", 0], "encoder": ["encoder", 0]}
    graph["pick"] = node("PEZPickPrompt", **{**inputs, **changes})
    graph |= {"prompt": show("pick", 0), "similarity": show("pick", 2), "table": show("pick", 4)}
    graph["same"] = similarity(images=["pick", 1], others=["wanted", 0], encoder=["encoder", 0])["pez"]
    return graph | {"alike": show("same", 0), "sheet": node("PreviewImage", images=["pick", 5])}


@pytest.fixture(scope="module")
def texts(server):
    return server.run(pick("anything"))["each"]


def test_a_search_gives_the_prompt_and_others_that_differ(texts):
    assert len(texts) >= 2 and len(set(texts)) == len(texts)


def test_the_prompt_is_picked_whose_picture_is_what_was_wanted(server, texts):
    for wanted in texts[:2]:
        shown = server.run(pick(wanted))
        assert shown["prompt"] == [wanted]
        assert float(shown["similarity"][0]) == pytest.approx(1, abs=1e-4)
        assert float(shown["alike"][0]) == pytest.approx(1, abs=1e-4)
        assert sorted(line.split(maxsplit=2)[2] for line in shown["table"][0].splitlines()) == sorted(texts)


def test_of_several_pictures_of_a_prompt_the_mean_counts_and_the_best_is_given(server, texts):
    shown = server.run(pick(texts[1], count=3))
    assert float(shown["alike"][0]) > float(shown["similarity"][0])


def test_the_node_shows_every_prompt_on_a_page_and_the_sheet(server, texts):
    output = server.finish(server.queue(pick(texts[1])))["outputs"]["pick"]
    assert output["pez"][0]["text"] == texts[1]
    assert sorted(page["text"] for page in output["pez"]) == sorted(texts)
    assert len(output["images"]) == 1 and len(output["files"]) == 1


def test_the_conditioning_is_the_prompts_and_needs_a_clip(server, texts):
    graph = pick(texts[0], clip=["clip", 0]) | {"clip": CLIP, "vision": VISION}
    graph["probe"] = node(
        "ProbeSimilarity", clip=["clip", 0], clip_vision=["vision", 0], image=["wanted", 0],
        conditioning=["pick", 3], text=["pick", 0], reported=["pick", 2],
    )  # fmt: skip
    assert server.run(graph)["probe"][2:4] == [texts[0], True]
    del graph["pick"]["inputs"]["clip"]
    outputs = server.run(graph)
    assert "probe" not in outputs and outputs["prompt"] == [texts[0]]


def test_it_says_when_pictures_are_fewer_than_prompts(server, texts):
    graph = pick(texts[0], images=["picture", 0])
    assert f"images hold the pictures of 1 prompts, but prompts hold {len(texts)} texts" in failure(server, graph)
