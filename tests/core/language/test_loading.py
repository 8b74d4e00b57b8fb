"""Loading a language model: what is whole loads as it is, and anything else gets one sentence."""

import json
import logging
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel

from pez_core import PezError
from pez_core.language import load_language_model

GGUF_NAMES = {
    "wte": "token_embd",
    "wpe": "position_embd",
    "ln_f": "output_norm",
    "ln_1": "attn_norm",
    "ln_2": "ffn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}


@pytest.fixture
def copy(tmp_path, model_folder):
    """A folder with the small model's files, to be spoilt."""
    return shutil.copytree(model_folder, tmp_path / "copy")


@pytest.fixture(scope="module")
def gguf_model(tmp_path_factory, model_folder):
    """A GGUF file, and the model of transformers with random weights that is in it."""
    gguf = pytest.importorskip("gguf")
    tokenizer = json.loads((model_folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    tokens = sorted(tokenizer["vocab"], key=tokenizer["vocab"].get)
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokens), n_embd=32, n_layer=1, n_head=2)).eval()
    path = tmp_path_factory.mktemp("gguf") / "small.gguf"
    writer = gguf.GGUFWriter(path, "gpt2")
    writer.add_context_length(1024)
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_head_count(2)
    writer.add_feed_forward_length(128)
    writer.add_layer_norm_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3] + [1] * (len(tokens) - 1))
    writer.add_token_merges([" ".join(merge) for merge in tokenizer["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    for name, weight in model.transformer.state_dict().items():
        body, kind = name.removeprefix("h.0.").rsplit(".", 1)
        value = weight.T.contiguous() if body.startswith(("attn", "mlp")) and kind == "weight" else weight
        writer.add_tensor(f"{'blk.0.' if name.startswith('h.') else ''}{GGUF_NAMES[body]}.{kind}", value.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path, model


def weights_of(folder):
    """The weights in memory of their own: the file may be written over."""
    return {name: value.clone() for name, value in load_file(folder / "model.safetensors").items()}


def refusal(path):
    """The sentence with which a model is refused."""
    with pytest.raises(PezError) as error:
        load_language_model(path)
    text = str(error.value)
    assert text.startswith("model ") and text.endswith(".") and "\n" not in text
    assert ". " not in text and "; " in text
    return text


def test_a_gguf_file_is_the_model_that_was_written(gguf_model, model_folder):
    path, wanted = gguf_model
    ids = torch.tensor([AutoTokenizer.from_pretrained(model_folder)("the movie is lovely").input_ids])
    for place in (path, path.parent):
        found = load_language_model(place)
        assert found.vocabulary.encode("the movie is lovely") == ids[0].tolist()
        assert torch.allclose(found.transformers_model(ids).logits, wanted(ids).logits, atol=1e-5)


def test_the_type_of_the_numbers_is_what_was_asked_for(model_folder):
    assert load_language_model(model_folder).embeddings.dtype == torch.float32
    assert load_language_model(model_folder, dtype=torch.bfloat16).embeddings.dtype == torch.bfloat16
    assert load_language_model(model_folder).name == "tiny-gpt2"


def test_missing_weights_are_refused_by_name(copy):
    weights = weights_of(copy)
    kept = {name: value for name, value in weights.items() if ".h.1.mlp." not in name}
    save_file(kept, copy / "model.safetensors", {"format": "pt"})
    assert refusal(copy) == (
        "model 'copy' lacks weights (transformer.h.1.mlp.c_fc.bias, transformer.h.1.mlp.c_fc.weight, "
        "transformer.h.1.mlp.c_proj.bias and 1 more); download it anew, or choose another one."
    )
    del weights["transformer.ln_f.bias"]
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    assert "lacks weights (transformer.ln_f.bias); " in refusal(copy)


def test_a_head_that_shares_the_embeddings_is_not_missing(copy):
    assert "lm_head.weight" not in weights_of(copy)
    assert load_language_model(copy).transformers_model.config.tie_word_embeddings


def test_weights_of_other_shapes_are_refused_by_name(copy):
    weights = weights_of(copy)
    weights["transformer.wpe.weight"] = torch.zeros(32, 64)
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    assert "has weights of other shapes than its config (transformer.wpe.weight); " in refusal(copy)


def test_a_folder_without_a_tokenizer_is_refused(copy):
    for file in copy.glob("tokenizer*"):
        file.unlink()
    assert refusal(copy) == "model 'copy' has no tokenizer; put its tokenizer.json beside the weights."


def test_code_beside_the_weights_is_never_run(copy, tmp_path):
    config = json.loads((copy / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own"}}
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "own.py").write_text(f"open({str(tmp_path / 'was_run')!r}, 'w')\nclass Own: pass\n")
    refusal(copy)
    assert not (tmp_path / "was_run").exists()


def test_the_traceback_goes_to_the_log(copy, caplog):
    (copy / "config.json").write_text("[")
    with caplog.at_level(logging.DEBUG, logger="pez_core"):
        refusal(copy)
    (record,) = [record for record in caplog.records if record.name == "pez_core.language.loading"]
    assert record.exc_info is not None and str(copy) in record.getMessage()


@pytest.mark.parametrize(
    "changes",
    [
        {"n_head": 0},
        {"n_head": None},
        {"n_head": [4]},
        {"n_head": 5},
        {"n_layer": None},
        {"n_layer": "two"},
        {"n_layer": -1},
        {"n_layer": 10**9},
        {"n_embd": 0},
        {"n_embd": [64]},
        {"n_embd": {}},
        {"vocab_size": None},
        {"vocab_size": -5},
        {"vocab_size": 3},
        {"n_positions": None},
        {"n_positions": "64"},
        {"n_positions": 2**80},
        {"layer_norm_epsilon": "small"},
        {"activation_function": None},
        {"activation_function": "nonesuch"},
        {"model_type": None},
        {"model_type": ["gpt2"]},
        {"model_type": "nonesuch"},
        {"architectures": 7, "model_type": 7},
        {"resid_pdrop": 5},
        {"dtype": "nonesuch"},
    ],
    ids=str,
)
def test_hostile_configs_get_one_sentence(copy, changes):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | changes))
    refusal(copy)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "7", '"gpt2"', "\x00" * 8, "[" * 10**5])
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_files_that_are_not_what_they_say_get_one_sentence(copy, name, content):
    (copy / name).write_text(content)
    refusal(copy)


@pytest.mark.parametrize("content", [b"", b"\xff" * 64, b"\xff" * 7 + b"\x7f{}", (2).to_bytes(8, "little") + b"{}"])
def test_hostile_weights_get_one_sentence(copy, content):
    (copy / "model.safetensors").write_bytes(content)
    refusal(copy)


COUNTS = {"tensors": 8, "fields": 16}


@pytest.mark.parametrize("count", [0, 2**31, 2**63 - 1, 2**64 - 1])
@pytest.mark.parametrize("field", COUNTS)
def test_gguf_files_with_absurd_counts_get_one_sentence(gguf_model, tmp_path, field, count):
    content = bytearray(gguf_model[0].read_bytes())
    content[COUNTS[field] : COUNTS[field] + 8] = count.to_bytes(8, "little")
    (tmp_path / "a.gguf").write_bytes(content)
    refusal(tmp_path / "a.gguf")


@pytest.mark.parametrize("kept", [0, 3, 4, 8, 20, 24, 40, 100, 1000, 5000, -1, -5000])
def test_truncated_gguf_files_get_one_sentence(gguf_model, tmp_path, kept):
    (tmp_path / "a.gguf").write_bytes(gguf_model[0].read_bytes()[:kept])
    refusal(tmp_path / "a.gguf")


@pytest.mark.parametrize("field", ["gpt2.attention.head_count", "gpt2.block_count", "general.architecture"])
@pytest.mark.parametrize("value", [0, 2**32 - 1])
def test_gguf_files_with_spoilt_fields_get_one_sentence(gguf_model, tmp_path, field, value):
    content = bytearray(gguf_model[0].read_bytes())
    at = content.index(field.encode()) + len(field) + 4
    content[at : at + 4] = value.to_bytes(4, "little")
    (tmp_path / "a.gguf").write_bytes(content)
    refusal(tmp_path / "a.gguf")


def test_an_encoder_is_refused(tmp_path, model_folder):
    config = BertConfig(
        vocab_size=300, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64
    )
    BertForMaskedLM(config).save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(model_folder / name, tmp_path)
    assert "reads in both directions; choose a causal one" in refusal(tmp_path)


def test_pickled_weights_are_refused(tmp_path, model_folder):
    shutil.copy(model_folder / "config.json", tmp_path)
    torch.save({}, tmp_path / "pytorch_model.bin")
    assert "holds no safetensors or GGUF file; convert it" in refusal(tmp_path)


def test_a_missing_folder_is_refused(tmp_path):
    assert "is neither a folder nor a GGUF file; check its spelling" in refusal(tmp_path / "none")
    (tmp_path / "model.bin").write_bytes(b"")
    assert "is neither a folder nor a GGUF file; check its spelling" in refusal(tmp_path / "model.bin")
