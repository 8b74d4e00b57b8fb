"""The embedded models as MODEL, CLIP and VAE, under ComfyUI's own nodes."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import requests
import torch
from PIL import Image
from test_nodes import EMBEDDED, SEARCH, failure, node, show
from torch import Tensor

from pez_core import load_encoder
from pez_core.drawing import draw, load_generator, token_states
from pez_core.generator import SIZE

TEXTS = ("a glossy drawing of rocket on a yellow background", "a flat drawing of tiger on a blue background")
SEED = 5
UNSUITED = {"res_multistep_ancestral_cfg_pp"}


def sampled(text: str = TEXTS[0], count: int = 1, **changes: Any) -> dict[str, Any]:
    """Text → picture by ComfyUI's KSampler, as people build it."""
    inputs = {
        "model": ["models", 0], "positive": ["positive", 0], "negative": ["negative", 0], "latent_image": ["latent", 0],
        "seed": SEED, "steps": 20, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0,
    }  # fmt: skip
    return {
        "models": node("PEZLoadEmbeddedModels"),
        "positive": node("CLIPTextEncode", clip=["models", 1], text=text),
        "negative": node("CLIPTextEncode", clip=["models", 1], text=""),
        "latent": node("EmptyChromaRadianceLatentImage", width=SIZE, height=SIZE, batch_size=count),
        "sampler": node("KSampler", **{**inputs, **changes}),
        "decoded": node("VAEDecode", samples=["sampler", 0], vae=["models", 2]),
        "shown": node("PreviewImage", images=["decoded", 0]),
    }


def pictures(server, graph: dict[str, Any]) -> Tensor:
    """What `shown` shows, (N, H, W, 3)."""
    record = server.finish(server.queue(graph))
    assert record["status"]["status_str"] == "success", record["status"]["messages"]
    files = record["outputs"]["shown"]["images"]
    answers = [requests.get(f"{server.url}/view", params=file, timeout=30).content for file in files]
    return torch.stack([torch.from_numpy(np.array(Image.open(BytesIO(answer)))) for answer in answers]).float() / 255


@cache
def encoder():
    return load_encoder()


def drawn_by_pez_core(text: str, count: int) -> Tensor:
    """The same picture, from the noise that ComfyUI draws for the seed."""
    noise = torch.randn(count, 3, SIZE, SIZE, generator=torch.manual_seed(SEED))
    states = token_states(encoder(), [encoder().vocabulary.encode(text)])
    return draw(load_generator(), states.expand(count, -1, -1), noise)


@pytest.mark.parametrize("text", TEXTS)
def test_a_sampler_draws_what_the_generator_draws(server, text):
    found, expected = pictures(server, sampled(text, count=2)), drawn_by_pez_core(text, 2)
    assert found.shape == (2, SIZE, SIZE, 3)
    assert (found - expected).abs().mean() < 0.004 and (found - expected).abs().max() < 0.1


def samplers(server) -> list[str]:
    return server.get("/object_info/KSampler")["KSampler"]["input"]["required"]["sampler_name"][0]


def similarity(one: Tensor, other: Tensor) -> float:
    features = encoder().encode_images([one, other])
    return (features[0] @ features[1]).item()


@pytest.mark.slow
def test_every_sampler_but_one_draws_it(server):
    expected = drawn_by_pez_core(TEXTS[0], 1)[0]
    similarities = {
        name: similarity(pictures(server, sampled(sampler_name=name, scheduler="normal"))[0], expected)
        for name in samplers(server)
    }
    assert {name for name, value in similarities.items() if value < 0.7} <= UNSUITED, similarities


def test_another_text_and_another_seed_are_other_pictures(server):
    first, text, seed = (pictures(server, graph)[0] for graph in (sampled(), sampled(TEXTS[1]), sampled(seed=6)))
    assert similarity(first, seed) > similarity(first, text)
    assert not torch.equal(first, seed)


def test_from_a_picture_it_keeps_more_the_less_it_is_told_to_change(server):
    graph = sampled(TEXTS[1]) | {
        "picture": node("PEZExamplePicture", picture="scorpion (glossy)"),
        "encoded": node("VAEEncode", pixels=["picture", 0], vae=["models", 2]),
    }
    graph["sampler"]["inputs"]["latent_image"] = ["encoded", 0]
    source = pictures(server, graph | {"shown": node("PreviewImage", images=["picture", 0])})[0]
    distances = []
    for denoise in (0.2, 0.5, 0.9):
        graph["sampler"]["inputs"]["denoise"] = denoise
        distances.append((pictures(server, graph)[0] - source).square().mean().item())
    assert distances == sorted(distances)


@pytest.mark.parametrize("changes", [{"cfg": 3.0}, {"cfg": 3.0, "negative": ["zero", 0]}, {"positive": ["both", 0]}])
def test_guidance_and_conditionings_of_all_kinds_run(server, changes):
    graph = sampled(**changes) | {"zero": node("ConditioningZeroOut", conditioning=["positive", 0])}
    graph["other"] = node("CLIPTextEncode", clip=["models", 1], text=" ".join([TEXTS[1]] * 9))
    graph["both"] = node("ConditioningConcat", conditioning_to=["positive", 0], conditioning_from=["other", 0])
    found = pictures(server, graph)[0]
    assert found.std() > 0.05 and torch.isfinite(found).all()


def test_the_usual_empty_latent_will_do_where_comfyui_adapts_it(server):
    graph = sampled() | {"latent": node("EmptyLatentImage", width=SIZE, height=SIZE, batch_size=1)}
    if adapts_empty_latents(server):
        assert torch.equal(pictures(server, graph), pictures(server, sampled()))
    else:
        assert "latent_image is 8 × 8" in (message := failure(server, graph))
        assert "take the node EmptyChromaRadianceLatentImage" in message


def adapts_empty_latents(server) -> bool:
    """Newer versions of ComfyUI say how much smaller a latent is than its picture."""
    shown = server.run(
        {"latent": node("EmptyLatentImage", width=16, height=16, batch_size=1), "shown": show("latent", 0)}
    )
    return "downscale_ratio" in shown["shown"][0]


def test_it_says_which_size_it_draws(server):
    graph = sampled()
    graph["latent"]["inputs"] |= {"width": 512, "height": 512}
    assert "latent_image is 512 × 512, but the embedded generator draws 64 × 64 pixels; set width" in failure(
        server, graph
    )


def test_our_own_nodes_work_on_its_clip(server):
    graph = sampled() | {
        "distill": node(
            "PEZPromptDistill", text=TEXTS[0], ratio=0.5, target_length=0, clip=["models", 1], **SEARCH
        ),
        "picture": node("PEZExamplePicture", picture="scorpion (glossy)"),
        "invert": node(
            "PEZImageToHardPrompt", image=["picture", 0], prompt_length=4, clip=["models", 1], encoder=["models", 3],
            **SEARCH,
        ),
        "short": show("distill", 0),
        "words": show("invert", 0),
    }  # fmt: skip
    graph["sampler"]["inputs"] |= {"positive": ["invert", 1], "negative": ["distill", 1]}
    shown = server.run(graph)
    assert shown["short"][0] and shown["words"][0]


def test_the_loop_closes(server):
    """Picture → prompts → a picture of each → the best of them, all on the embedded models."""
    graph = sampled() | {"picture": node("PEZExamplePicture", picture="scorpion (glossy)"), "encoder": EMBEDDED}
    graph["pez"] = node(
        "PEZImageToHardPrompt", image=["picture", 0], prompt_length=8, encoder=["models", 3],
        **{**SEARCH, "candidates": 4},
    )  # fmt: skip
    graph["positive"]["inputs"]["text"] = ["pez", 4]
    graph["pick"] = node(
        "PEZPickPrompt", prompts=["pez", 4], images=["decoded", 0], wanted=["picture", 0], encoder=["encoder", 0],
        clip=["models", 1],
    )  # fmt: skip
    graph |= {"each": show("pez", 4), "table": show("pick", 4), "best": show("pick", 0)}
    shown = server.run(graph)
    ranked = [line.split(maxsplit=2) for line in shown["table"][0].splitlines()]
    assert sorted(text for *_, text in ranked) == sorted(shown["each"]) and len(ranked) > 1
    assert shown["best"] == [ranked[0][2]]
    assert [float(value) for _, value, _ in ranked] == sorted((float(value) for _, value, _ in ranked), reverse=True)
