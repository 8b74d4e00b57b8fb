"""Classification Prompt."""

from __future__ import annotations

from pathlib import Path

import folder_paths
from comfy_api.latest import io

from ..pez_core import PezError
from ..pez_core.language import FitSettings, Template, fit_file
from .comfy import sockets
from .comfy.gradients import differentiable
from .comfy.progress import progress_on_node
from .comfy.results import on_node

MISSING = "put a .tsv or .csv file into the input folder"
METHODS = ["pez", "pez+refine", "autoprompt", "fluentprompt", "template"]
DEFAULT = FitSettings()
ADVANCED = [
    "fluency", "few_shot", "method", "prompt_length", "steps", "seed", "learning_rate", "candidates", "batch",
    "token_filter", "blocklist", "time_budget",
]  # fmt: skip


def data_choices() -> list[str]:
    """TSV and CSV files in ComfyUI's input folder."""
    root = Path(folder_paths.get_input_directory())
    return sorted(path.name for path in root.iterdir() if path.suffix in (".tsv", ".csv")) or [MISSING]


class ClassificationPrompt(io.ComfyNode):
    """Learns a prompt that makes a language model tell classes of text apart."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return sockets.schema(
            node_id="PEZClassificationPrompt",
            display_name="Classification Prompt",
            aliases=["text classification", "prompt tuning"],
            advanced=ADVANCED,
            description="Finds a text prompt that makes a language model classify the texts of a file.",
            inputs=[
                sockets.PezLanguageModel.Input("language_model", tooltip="From Load Language Model."),
                io.Combo.Input(
                    "data", options=data_choices(), tooltip="A file in the input folder, one text and label per line."
                ),
                io.String.Input(
                    "text_column", default="text",
                    tooltip="Name of the text's column, or its number from 1 where the file has no header.",
                ),
                io.String.Input("label_column", default="label", tooltip="Name or number of the class's column."),
                io.String.Input(
                    "template", default=Template().pattern,
                    tooltip="Where text, learned prompt and label word stand; the label comes last.",
                ),
                io.String.Input(
                    "verbalizer", default="0=terrible,1=great",
                    tooltip="The word for each class, as the file names the classes; several words are separated by |.",
                ),
                io.Float.Input(
                    "fluency", default=DEFAULT.fluency, min=0.0, max=0.99, step=0.05,
                    tooltip="Lambda: how much the prompt is to read like the model's own language. 0 is not at all.",
                ),
                io.Int.Input(
                    "few_shot", default=0, min=0, max=10_000,
                    tooltip="Learn from this many examples per class and choose by as many more; 0 takes all the data.",
                ),
                io.Combo.Input("method", options=METHODS, default=DEFAULT.method, tooltip="How the prompt is learned."),
                io.Int.Input(
                    "prompt_length", default=DEFAULT.tokens, min=1, max=64, tooltip="Tokens of the learned prompt."
                ),
                io.Int.Input("steps", default=DEFAULT.steps, min=1, max=100_000, tooltip="Optimisation steps."),
                io.Int.Input(
                    "seed", default=DEFAULT.seed, min=0, max=0xFFFFFFFFFFFFFFFF, control_after_generate=True,
                    tooltip="Where the search starts, and which examples it sees.",
                ),
                io.Float.Input(
                    "learning_rate", default=DEFAULT.learning_rate, optional=True, min=0.0001, max=100.0, step=0.1,
                    round=0.0001,
                    tooltip="How far each step moves the prompt, in units of the spread of the model's embeddings.",
                ),
                sockets.candidates_input(DEFAULT.candidates, optional=True),
                io.Int.Input(
                    "batch", default=DEFAULT.batch, optional=True, min=1, max=1024,
                    tooltip="Examples that each step sees. More make steps surer and slower.",
                ),
                sockets.token_filter_input(DEFAULT.token_filter, optional=True),
                sockets.blocklist_input(optional=True),
                sockets.time_budget_input(optional=True),
            ],
            outputs=[
                io.String.Output("prompt", display_name="prompt", tooltip="The learned text."),
                io.Float.Output("accuracy", display_name="accuracy", tooltip="On the examples to choose by, 0 to 1."),
                io.String.Output("table", display_name="table", tooltip="The best prompts, their accuracy and loss."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )  # fmt: skip

    @classmethod
    def validate_inputs(cls, data) -> bool | str:
        found = data in data_choices()
        return found or f"data {data!r} is not in the input folder; choose one from the list."

    @classmethod
    def execute(
        cls, language_model, data, text_column, label_column, template, verbalizer, fluency, few_shot, method,
        prompt_length, steps, seed, learning_rate=DEFAULT.learning_rate, candidates=DEFAULT.candidates,
        batch=DEFAULT.batch, token_filter=DEFAULT.token_filter, blocklist="", time_budget=0.0,
    ) -> io.NodeOutput:  # fmt: skip
        if data == MISSING:
            raise PezError("data is missing; put a .tsv or .csv file into ComfyUI's input folder.")
        settings = FitSettings(
            method=method,
            tokens=prompt_length,
            steps=steps,
            candidates=candidates,
            batch=batch,
            fluency=fluency,
            seed=seed,
            learning_rate=learning_rate,
            token_filter=token_filter,
            blocklist=sockets.phrases(blocklist),
            time_budget=time_budget or None,
        )
        path = Path(folder_paths.get_input_directory()) / data
        with differentiable():
            found = fit_file(
                language_model.brought, path, [text_column.strip()], label_column.strip(), template, verbalizer,
                settings, per_class=few_shot or None,
                on_step=progress_on_node(cls.hidden, "accuracy", steps, settings.time_budget),
            )  # fmt: skip
        notes = (f"{found.cut} texts were too long for the model, and were cut.",) if found.cut else ()
        ui = on_node("accuracy", found.accuracy, found.text, found.history, notes)
        return io.NodeOutput(found.text, found.accuracy, found.table(), ui=ui)
