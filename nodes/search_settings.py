"""PEZ Search Settings."""

from __future__ import annotations

from comfy_api.latest import io

from ..pez_core import SearchSettings
from .comfy import sockets


class SearchSettingsNode(io.ComfyNode):
    """The settings that most people leave alone."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        default = SearchSettings()
        return sockets.schema(
            node_id="PEZSearchSettings",
            display_name="PEZ Search Settings",
            advanced=["learning_rate", "weight_decay", "refinement", "word_preference", "batch"],
            description="Finer settings for the PEZ nodes: learning rate, which words may be used, fixed text, time.",
            inputs=[
                io.Float.Input(
                    "learning_rate", default=default.learning_rate, min=0.0001, max=10.0, step=0.01, round=0.0001,
                    tooltip="How far each step moves the continuous prompt.",
                ),
                io.Float.Input(
                    "weight_decay", default=default.weight_decay, min=0.0, max=1.0, step=0.01, round=0.0001,
                    tooltip="How strongly each step pulls the continuous prompt to zero.",
                ),
                sockets.token_filter_input(default.token_filter),
                sockets.blocklist_input(),
                io.String.Input("prefix", default="", tooltip="Fixed text before the learned words."),
                io.String.Input("suffix", default="", tooltip="Fixed text after the learned words."),
                sockets.time_budget_input(),
                io.Float.Input(
                    "refinement", default=default.refinement, optional=True, min=0.0, max=100.0, step=0.05, round=0.001,
                    tooltip="After the steps, single words of the best prompt are swapped: rounds for each step.",
                ),
                io.Float.Input(
                    "word_preference", default=default.word_preference, optional=True, min=0.0, max=2.0, step=0.05,
                    round=0.001,
                    tooltip="Where the filter admits fragments of words: how much nearer than a word one must be.",
                ),
                io.Int.Input(
                    "batch", default=0, optional=True, min=0, max=4096,
                    tooltip="Pictures drawn for each step; 0 for all of them, and for four of them in Style Extract.",
                ),
            ],
            outputs=[sockets.PezSettings.Output("settings", display_name="settings", tooltip="For the PEZ nodes.")],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, learning_rate, weight_decay, token_filter, blocklist, prefix, suffix, time_budget,
        refinement=SearchSettings.refinement, word_preference=SearchSettings.word_preference,
        batch=0,
    ) -> io.NodeOutput:  # fmt: skip
        return io.NodeOutput(
            SearchSettings(
                learning_rate=learning_rate,
                weight_decay=weight_decay,
                refinement=refinement,
                token_filter=token_filter,
                word_preference=word_preference,
                blocklist=sockets.phrases(blocklist),
                prefix=prefix,
                suffix=suffix,
                time_budget=time_budget or None,
                batch=batch or None,
            )
        )
