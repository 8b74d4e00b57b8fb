"""Inputs and outputs that several nodes share, so that a socket reads the same wherever it appears."""

from __future__ import annotations

from dataclasses import fields

from comfy_api.latest import io

from ...pez_core import SearchSettings
from ...pez_core.tower import MAX_PROMPT_TOKENS
from .text_projection import projection_choices

CATEGORY = "PEZ"
PezEncoder = io.Custom("PEZ_ENCODER")
PezSettings = io.Custom("PEZ_SETTINGS")
PezLanguageModel = io.Custom("PEZ_LANGUAGE_MODEL")


def searched_as(*names: str) -> dict[str, list[str]]:
    """Other names by which the editor's search finds a node, where ComfyUI's schema has a place for them."""
    known = "search_aliases" in {field.name for field in fields(io.Schema)}
    return {"search_aliases": list(names)} if known else {}


def length_input() -> io.Int.Input:
    return io.Int.Input(
        "prompt_length",
        default=SearchSettings.tokens,
        min=1,
        max=MAX_PROMPT_TOKENS,
        tooltip="How many tokens the learned prompt may have. Short ones are easier to read and to reuse.",
    )


def search_inputs() -> list[io.Input]:
    return [
        io.Int.Input(
            "steps",
            default=SearchSettings.steps,
            min=1,
            max=100_000,
            tooltip="Optimisation steps. More find better words and take longer; the paper uses 3000.",
        ),
        io.Int.Input(
            "seed",
            default=SearchSettings.seed,
            min=0,
            max=0xFFFFFFFFFFFFFFFF,
            control_after_generate=True,
            tooltip="Where the search starts. The same seed gives the same prompt on the same device.",
        ),
        io.Int.Input(
            "candidates",
            default=SearchSettings.candidates,
            min=1,
            max=64,
            tooltip="Searches that run side by side; the best one wins. More take more memory.",
        ),
    ]


def avoid_input() -> io.Input:
    return io.Image.Input("avoid", optional=True, tooltip="Pictures that the words must not describe.")


def clip_input() -> io.Clip.Input:
    return io.Clip.Input(
        "clip",
        optional=True,
        tooltip="The CLIP of your model. The prompt is learned on its weights and encoded by it.",
    )


def clip_vision_input() -> io.ClipVision.Input:
    return io.ClipVision.Input(
        "clip_vision",
        optional=True,
        tooltip="The vision model of the same CLIP: ViT-L for SD1.5, ViT-H for SD2, ViT-L or ViT-bigG for SDXL.",
    )


def second_clip_vision_input() -> io.ClipVision.Input:
    return io.ClipVision.Input(
        "clip_vision_2",
        optional=True,
        tooltip="For SDXL: the other vision model, so that ViT-L and ViT-bigG together match both of its text towers.",
    )


def encoder_input() -> io.Input:
    return PezEncoder.Input(
        "encoder",
        optional=True,
        tooltip="An encoder from Load PEZ Encoder to learn on instead; the CLIP then only encodes the result.",
    )


def settings_input() -> io.Input:
    return PezSettings.Input("settings", optional=True, tooltip="Finer settings from PEZ Search Settings.")


def projection_input() -> io.Combo.Input:
    return io.Combo.Input(
        "projection_file",
        options=projection_choices(),
        optional=True,
        tooltip="A full CLIP file to take text_projection from, which SD1.5 checkpoints lack. Nothing else is read.",
    )


def model_inputs() -> list[io.Input]:
    """What pictures and text are read by, and how the search goes."""
    return [
        clip_input(),
        clip_vision_input(),
        second_clip_vision_input(),
        encoder_input(),
        settings_input(),
        projection_input(),
    ]


def outputs() -> list[io.Output]:
    return [
        io.String.Output("prompt", display_name="prompt", tooltip="The learned text."),
        io.Conditioning.Output("conditioning", display_name="conditioning", tooltip="The text encoded by the clip."),
        io.Float.Output(
            "similarity", display_name="similarity", tooltip="Cosine similarity of the text to what was asked for."
        ),
    ]


def curve_output() -> io.Output:
    return io.Image.Output("curve", display_name="curve", tooltip="A plot of the best similarity after each step.")


def phrases(text: str) -> tuple[str, ...]:
    """What a blocklist holds: phrases, one to a line or separated by commas."""
    parts = (part.strip() for line in text.splitlines() for part in line.split(","))
    return tuple(part for part in parts if part)
