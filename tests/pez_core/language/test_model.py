"""Language models from folders, their vocabulary, and what cannot be used."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForMaskedLM

from pez_core import PezError
from pez_core.language import load_language_model
from pez_core.language.memory import Library, Reading


def test_words_are_pieces_that_begin_with_a_space(model):
    words = {model.vocabulary.texts[token] for token in model.vocabulary.words}
    assert {"movie", "great", "maybe"} <= words
    for token in model.vocabulary.words:
        text = model.vocabulary.texts[token]
        assert text.isascii() and text.isalpha()
        assert model.vocabulary.encode(f"so {text}")[-1] == token


def test_special_tokens_are_never_allowed(model):
    allowed = set(model.vocabulary.allowed_ids("all").tolist())
    assert 0 not in allowed and allowed >= model.vocabulary.words


def test_texts_fall_out_of_the_library_for_lack_of_room_and_are_read_again():
    reads = []

    def read(texts):
        reads.extend(texts)
        return [
            Reading(((torch.zeros(1, len(text), 1), torch.zeros(1, len(text), 1)),), torch.zeros(1)) for text in texts
        ]

    library = Library(read, kept_bytes=40)
    for text in ((1, 2), (3, 4), (1, 2), (5, 6), (3, 4)):
        (reading,) = library([text])
        assert reading.layers[0][0].shape[1] == 2
    assert reads == [(1, 2), (3, 4), (5, 6), (3, 4)]
    library.forget()
    library([(5, 6)])
    assert reads[-1] == (5, 6)


def test_an_encoder_is_refused(tmp_path, model_folder):
    config = BertConfig(
        vocab_size=300, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
    )
    BertForMaskedLM(config).save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((model_folder / name).read_bytes())
    with pytest.raises(PezError, match="reads in both directions; choose a causal one"):
        load_language_model(tmp_path)


def test_pickled_weights_are_refused(tmp_path, model_folder):
    (tmp_path / "config.json").write_bytes((model_folder / "config.json").read_bytes())
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(PezError, match="holds no safetensors or GGUF file; convert it"):
        load_language_model(tmp_path)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(PezError, match="is neither a folder nor a GGUF file; check its spelling"):
        load_language_model(tmp_path / "none")


def test_unreadable_weights_are_refused(tmp_path, model_folder):
    for file in model_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(PezError, match="could not be loaded as a causal language model"):
        load_language_model(tmp_path)


def test_a_model_of_an_unknown_kind_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "nonesuch"}))
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(PezError, match="could not be loaded as a causal language model"):
        load_language_model(tmp_path)
    assert load_file(tmp_path / "model.safetensors")
