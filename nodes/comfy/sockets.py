"""Schemas, inputs and outputs that several nodes share, so that a socket reads the same wherever it appears."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ...pez_core import SearchSettings
from ...pez_core.vocabulary import TOKEN_FILTERS
from .text_projection import projection_choices

LONGEST = 246
CATEGORY = "PEZ"
PezEncoder = io.Custom("PEZ_ENCODER")
PezSettings = io.Custom("PEZ_SETTINGS")
PezLanguageModel = io.Custom("PEZ_LANGUAGE_MODEL")


def schema(aliases: Sequence[str] = (), advanced: Sequence[str] = (), **parts: Any) -> io.Schema:
    """A schema in the pack's category.

    `aliases` are other names by which the editor's search finds the node, and `advanced` the inputs whose widgets it
    hides until it is asked for them; both where ComfyUI has a place for them.
    """
    for each in parts["inputs"]:
        if each.id in advanced and hasattr(each, "advanced"):
            each.advanced = True
    if aliases and "search_aliases" in {field.name for field in fields(io.Schema)}:
        parts["search_aliases"] = list(aliases)
    return io.Schema(category=CATEGORY, **parts)


def result_schema(aliases: Sequence[str], advanced: Sequence[str] = (), **parts: Any) -> io.Schema:
    """The schema of a node that shows what `results` gives, and may ask which files its CLIP came from."""
    return schema(aliases, advanced, hidden=[io.Hidden.prompt, io.Hidden.unique_id], is_output_node=True, **parts)


def length_input() -> io.Int.Input:
    return io.Int.Input(
        "prompt_length", default=SearchSettings.tokens, min=1, max=LONGEST,
        tooltip="How many tokens the learned prompt may have. Short ones are easier to read and to reuse.",
    )  # fmt: skip


def search_inputs() -> list[io.Input]:
    return [
        io.Int.Input(
            "steps", default=SearchSettings.steps, min=1, max=100_000,
            tooltip="Optimisation steps. More find better words and take longer; the paper uses 3000.",
        ),
        io.Int.Input(
            "seed", default=SearchSettings.seed, min=0, max=0xFFFFFFFFFFFFFFFF, control_after_generate=True,
            tooltip="Where the search starts. The same seed gives the same prompt on the same device.",
        ),
        candidates_input(SearchSettings.candidates),
    ]  # fmt: skip


def merged(settings: SearchSettings | None, **own: Any) -> SearchSettings:
    """The node's own inputs over the connected PEZ_SETTINGS."""
    return replace(settings or SearchSettings(), **own)


def candidates_input(default: int, optional: bool = False) -> io.Int.Input:
    return io.Int.Input(
        "candidates", default=default, optional=optional, min=1, max=64,
        tooltip="Searches that run side by side; the best one wins. More take more memory.",
    )  # fmt: skip


def language_input() -> io.Float.Input:
    return io.Float.Input(
        "language", default=SearchSettings.language, optional=True, min=0.0, max=10.0, step=0.1, round=0.01,
        tooltip="How much language counts. At 1 the words are fewer, and other models understand them too; at 0 they "
        "are whatever this CLIP likes best, and only then do steps and candidates matter.",
    )  # fmt: skip


def language_model_input() -> io.Input:
    return io.MultiType.Input(
        "language_model", [io.Clip, PezLanguageModel], optional=True,
        tooltip="A language model to say which words are likely, beside the embedded one: a CLIP with Gemma, Qwen3 or "
        "Ministral, or one from Load Language Model.",
    )  # fmt: skip


def language_inputs() -> list[io.Input]:
    return [language_input(), language_model_input()]


def token_filter_input(default: str, optional: bool = False) -> io.Combo.Input:
    return io.Combo.Input(
        "token_filter", options=list(TOKEN_FILTERS), default=default, optional=optional,
        tooltip="Which tokens may be used: plain English words, anything printable, or all of them.",
    )  # fmt: skip


def blocklist_input(optional: bool = False) -> io.String.Input:
    return io.String.Input(
        "blocklist", default="", multiline=True, optional=optional,
        tooltip="Words or phrases never to use, one to a line or separated by commas.",
    )  # fmt: skip


def phrases(blocklist: str) -> tuple[str, ...]:
    """What a blocklist holds: phrases, one to a line or separated by commas."""
    parts = (part.strip() for line in blocklist.splitlines() for part in line.split(","))
    return tuple(part for part in parts if part)


def time_budget_input(optional: bool = False) -> io.Float.Input:
    return io.Float.Input(
        "time_budget", default=0.0, optional=optional, min=0.0, max=86400.0, step=1.0,
        tooltip="Seconds after which the search stops with its best prompt; 0 for no limit.",
    )  # fmt: skip


def avoid_input() -> io.Input:
    return io.Image.Input("avoid", optional=True, tooltip="Pictures that the words must not describe.")


def clip_input() -> io.Clip.Input:
    return io.Clip.Input(
        "clip", optional=True,
        tooltip="The CLIP of your model. The prompt is learned on its weights and encoded by it.",
    )  # fmt: skip


def clip_vision_inputs() -> list[io.Input]:
    return [
        io.ClipVision.Input(
            "clip_vision", optional=True,
            tooltip="The vision model of the same CLIP: ViT-L for SD1.5, ViT-H for SD2, ViT-L or ViT-bigG for SDXL.",
        ),
        io.ClipVision.Input(
            "clip_vision_2", optional=True,
            tooltip="For SDXL: the other vision model, so that ViT-L and ViT-bigG together match both of its text "
            "towers.",
        ),
    ]  # fmt: skip


def only(values: list[Any] | None) -> Any:
    """The one value of an input that is no list, on a node that takes lists."""
    return values[0] if values else None


def pictures_of(batches: list[Tensor] | None) -> list[Tensor]:
    """All pictures (H, W, C) of a list of batches."""
    return [picture for batch in batches or () for picture in batch]


def batches_of(batches: list[Tensor], count: int) -> list[list[Tensor]]:
    """The pictures of each element of a list; one batch of as many as are counted is taken for a list of them."""
    if len(batches) == 1 and len(batches[0]) == count:
        return [[picture] for picture in batches[0]]
    return [list(batch) for batch in batches]


def picture_reader_inputs() -> list[io.Input]:
    """What pictures are compared by, where no text is read."""
    return [
        io.ClipVision.Input("clip_vision", optional=True, tooltip="Any CLIP vision model, to compare the pictures by."),
        PezEncoder.Input(
            "encoder", optional=True, tooltip="An encoder from Load PEZ Encoder to compare them by instead."
        ),
    ]


def encoder_input() -> io.Input:
    return PezEncoder.Input(
        "encoder", optional=True,
        tooltip="An encoder from Load PEZ Encoder to learn on instead; the CLIP then only encodes the result.",
    )  # fmt: skip


def settings_input() -> io.Input:
    return PezSettings.Input("settings", optional=True, tooltip="Finer settings from PEZ Search Settings.")


def projection_input() -> io.Combo.Input:
    return io.Combo.Input(
        "projection_file", options=projection_choices(), optional=True,
        tooltip="A full CLIP file to take text_projection from, which SD1.5 checkpoints lack. Nothing else is read.",
    )  # fmt: skip


def model_inputs() -> list[io.Input]:
    """What pictures and text are read by, and how the search goes."""
    return [clip_input(), *clip_vision_inputs(), encoder_input(), settings_input(), projection_input()]


def prompt_outputs() -> list[io.Output]:
    return [
        io.String.Output("prompt", display_name="prompt", tooltip="The learned text."),
        io.Conditioning.Output("conditioning", display_name="conditioning", tooltip="The text encoded by the clip."),
        io.Float.Output(
            "similarity", display_name="similarity", tooltip="Cosine similarity of the text to what was asked for."
        ),
    ]


def curve_output() -> io.Output:
    return io.Image.Output("curve", display_name="curve", tooltip="A plot of the best similarity after each step.")


def alternatives_output() -> io.Output:
    return io.String.Output(
        "alternatives", display_name="alternatives", is_output_list=True,
        tooltip="A list: the prompt, then the next best ones, as far as they differ.",
    )  # fmt: skip
