"""The language model nodes, queued over the HTTP API of a real server."""

from __future__ import annotations

from typing import Any

import pytest


def classify(**changes: Any) -> dict[str, Any]:
    """Sentences → prompt on the small language model."""
    inputs = {
        "language_model": ["model", 0],
        "data": "sentences.tsv",
        "text_column": "text",
        "label_column": "label",
        "template": "{text} {prompt} It was {label}",
        "verbalizer": "bad=terrible,good=great",
        "fluency": 0.0,
        "few_shot": 0,
        "method": "pez+refine",
        "prompt_length": 2,
        "steps": 40,
        "seed": 1,
    }
    return {
        "model": {"class_type": "PEZLoadLanguageModel", "inputs": {"model": "tiny-gpt2"}},
        "pez": {"class_type": "PEZClassificationPrompt", "inputs": {**inputs, **changes}},
        **{
            name: {"class_type": "PreviewAny", "inputs": {"source": ["pez", output]}}
            for output, name in enumerate(("prompt", "accuracy", "table"))
        },
    }


def shown(record: dict[str, Any]) -> dict[str, str]:
    return {name: texts[0] for name, texts in record.items() if texts}


def test_a_prompt_is_learned_with_its_accuracy_and_a_table(server):
    found = shown(server.run(classify()))
    assert len(found["prompt"].split()) == 2
    assert float(found["accuracy"]) > 0.7
    first = found["table"].splitlines()[1]
    assert first.endswith(found["prompt"]) and f"{float(found['accuracy']):.3f}" in first


def test_the_bare_template_is_no_better_than_chance(server):
    assert float(shown(server.run(classify(method="template")))["accuracy"]) < 0.7


def test_a_language_model_and_what_it_remembers_are_comfyuis_to_unload(server):
    def loaded(nonce: int, unload: bool) -> list[Any]:
        inputs = {"nonce": nonce, "unload": unload, "language_model": ["model", 0]}
        return server.run({"model": classify()["model"], "loaded": {"class_type": "ProbeLoaded", "inputs": inputs}})[
            "loaded"
        ]

    found = shown(server.run(classify(steps=2, seed=7)))
    kinds, remembered = loaded(1, False)
    assert "GPT2LMHeadModel" in kinds and remembered > 0
    assert loaded(2, True) == [[], 0]
    assert found["prompt"] and shown(server.run(classify(steps=2, seed=8)))["prompt"]
    assert "GPT2LMHeadModel" in loaded(3, False)[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"template": "It was {label}"}, "has no {text}"),
        ({"verbalizer": "bad=terrible"}, "fewer than two classes"),
        ({"text_column": "sentence"}, "has no column 'sentence'"),
        ({"few_shot": 50}, "not 100; give more or ask for fewer"),
        ({"data": "few.tsv", "few_shot": 3}, "data has 2 examples of class"),
    ],
)
def test_inputs_that_cannot_be_used_get_one_sentence(server, changes, message):
    with pytest.raises(RuntimeError) as error:
        server.run(classify(**changes))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("node", "name", "value"),
    [("model", "model", "../text_encoders"), ("pez", "data", "../models/LLM/tiny-gpt2/vocab.tsv")],
)
def test_files_outside_their_folders_are_refused(server, node, name, value):
    graph = classify()
    graph[node]["inputs"][name] = value
    with pytest.raises(Exception, match=r"list|folder"):
        server.run(graph)
