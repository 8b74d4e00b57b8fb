"""Prompt Distill."""

from __future__ import annotations

from comfy_api.latest import io

from ..pez_core import SearchSettings, tasks
from ..pez_core.encoders.conditioning import MODES, POOLED
from .comfy import results, sockets
from .comfy.encoders import text_encoder
from .comfy.gradients import differentiable
from .comfy.language_prior import prior_of
from .comfy.progress import on_search_step


class PromptDistill(io.ComfyNode):
    """Learns a shorter prompt with the features of a long one."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return sockets.result_schema(
            node_id="PEZPromptDistill",
            display_name="Prompt Distill",
            aliases=["shorten prompt", "compress prompt"],
            advanced=["target_length", "steps", "seed", "candidates", "mode", "language"],
            description="Shortens a long prompt to fewer tokens that mean the same to the text encoder.",
            inputs=[
                io.String.Input("text", multiline=True, dynamic_prompts=True, tooltip="The prompt to shorten."),
                io.Float.Input(
                    "ratio", default=tasks.RATIO, min=0.05, max=0.95, step=0.05,
                    tooltip="Share of the prompt's tokens to keep, when target_length is 0.",
                ),
                io.Int.Input(
                    "target_length", default=0, min=0, max=sockets.LONGEST,
                    tooltip="How many tokens to keep; 0 takes the ratio instead.",
                ),
                *sockets.search_inputs(),
                io.Combo.Input(
                    "mode", options=list(MODES), default=POOLED, optional=True,
                    tooltip="What is to stay the same: the pooled feature, or the token states that samplers see.",
                ),
                sockets.clip_input(),
                sockets.encoder_input(),
                sockets.settings_input(),
                *sockets.language_inputs(),
            ],
            outputs=[
                *sockets.prompt_outputs(),
                io.Int.Output("tokens", display_name="tokens", tooltip="How many tokens the shorter prompt has."),
                sockets.curve_output(),
                sockets.alternatives_output(),
            ],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, text, ratio, target_length, steps, seed, candidates, mode=POOLED, clip=None, encoder=None, settings=None,
        language=SearchSettings.language, language_model=None,
    ) -> io.NodeOutput:  # fmt: skip
        search = sockets.merged(
            settings, tokens=target_length or 1, steps=steps, seed=seed, candidates=candidates, language=language
        )
        with differentiable():
            model = text_encoder(clip, encoder, cls.hidden, mode)
            share = None if target_length else ratio
            on_step, prior = on_search_step(search, cls.hidden), prior_of(language_model, model, search)
            found = tasks.distill(model, text, search, share, on_step, prior)
        return results.output(found, clip, len(found.tokens), results.curve(found), results.alternatives(found))
