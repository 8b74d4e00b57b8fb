"""ComfyUI's own language model text encoders with a few narrow layers, and what a PEZ prior makes of texts by them."""

import dataclasses
import hashlib
import importlib
import io
import math
import sys
from types import SimpleNamespace

import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.text_encoders.flux
import comfy.text_encoders.lumina2
import comfy.text_encoders.omnigen2
import comfy.text_encoders.z_image
import sentencepiece
import torch

from .small_models import DTYPES, _fill

PIECES = 120
KINDS = {
    "qwen3_4b": (comfy.text_encoders.z_image.te(), comfy.text_encoders.z_image.ZImageTokenizer),
    "qwen25_3b": (comfy.text_encoders.omnigen2.te(), comfy.text_encoders.omnigen2.Omnigen2Tokenizer),
    "gemma2_2b": (comfy.text_encoders.lumina2.te(), comfy.text_encoders.lumina2.LuminaTokenizer),
    "gemma3_4b": (comfy.text_encoders.lumina2.te(model_type="gemma3_4b"), comfy.text_encoders.lumina2.NTokenizer),
}
if hasattr(comfy.text_encoders.flux, "klein_te"):
    KINDS["qwen3_8b"] = (
        comfy.text_encoders.flux.klein_te(model_type="qwen3_8b"), comfy.text_encoders.flux.KleinTokenizer8B
    )  # fmt: skip
SMALL = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2,
    "num_key_value_heads": 1,
}  # fmt: skip
QWEN, GEMMA = (151643, 151643), (2, 1)
LORA_KEY = "transformer.model.layers.1.mlp.up_proj.weight"


class SmallLanguageModel:
    """A CLIP that holds a language model with seeded weights; `low_memory` leaves them to be cast as needed."""

    CATEGORY, FUNCTION, RETURN_TYPES = "probe", "run", ("CLIP",)

    @classmethod
    def INPUT_TYPES(cls):
        optional = {
            "dtype": (list(DTYPES), {"default": "float32"}),
            "lora": ("BOOLEAN", {"default": False}),
            "low_memory": ("BOOLEAN", {"default": False}),
        }
        return {"required": {"kind": (list(KINDS),)}, "optional": optional}

    def run(self, kind, dtype="float32", lora=False, low_memory=False):
        model, tokenizer = KINDS[kind]
        config = SMALL | ({"vocab_size": PIECES} if kind.startswith("gemma") else {})
        options = {"dtype": DTYPES[dtype], f"{kind}_model_config": config}
        target = SimpleNamespace(params={}, clip=model, tokenizer=tokenizer)
        clip = comfy.sd.CLIP(target, model_options=options, tokenizer_data={"spiece_model": _pieces()})
        _fill(clip.cond_stage_model, 3)
        if lora:
            clip = clip.clone()
            key = f"{kind}.{LORA_KEY}"
            shape = clip.patcher.model_state_dict()[key].shape
            change = torch.randn(shape, generator=torch.Generator().manual_seed(1))
            assert clip.add_patches({key: ("diff", (change,))}), "the LoRA names a weight that is not there"
        if low_memory:
            load, short = clip.patcher.load, {"lowvram_model_memory": 1, "full_load": False}
            clip.patcher.load = lambda device, **more: load(device, **{**more, **short})
            clip.patcher.detach()
            for module in clip.cond_stage_model.modules():
                comfy.model_patcher.wipe_lowvram_weight(module)
        return (clip,)


class LanguagePrior:
    """The whole surprise at each line of a text by a PEZ prior, and by the language model's own forward, one at a time.

    With `random` weights the model guesses no better than by chance, which is then let pass. Besides it shows when the
    model of our own was brought and the search's given back, and whether the weights are what they were.
    """

    CATEGORY, FUNCTION, RETURN_TYPES, OUTPUT_NODE = "probe", "run", (), True

    @classmethod
    def INPUT_TYPES(cls):
        required = {"lines": ("STRING", {"multiline": True}), "random": ("BOOLEAN", {"default": True})}
        optional = {"clip": ("CLIP",), "language_model": ("PEZ_LANGUAGE_MODEL",), "evicted": ("BOOLEAN",)}
        return {"required": required, "optional": optional}

    def run(self, lines, random, clip=None, language_model=None, evicted=False):
        ours, vocabulary = _module("nodes.comfy.language_prior"), _module("pez_core.encoders.clip_vocabulary")
        given, ours.PLAUSIBLE = ours.PLAUSIBLE, math.inf if random else ours.PLAUSIBLE
        events = []
        if language_model:
            language_model = dataclasses.replace(language_model, bring=lambda: events.append("brought"))
        words = vocabulary.ClipVocabulary()
        before = clip and _hash(clip)
        try:
            prior = ours.language_prior(clip or language_model, words, lambda: events.append("back"))
        finally:
            ours.PLAUSIBLE = given
        if evicted:
            comfy.model_management.unload_all_models()
        ids = [words.encode(line) for line in lines.splitlines()]
        found = [nats * (len(each) + 1) for nats, each in zip(prior.surprise(ids).tolist(), ids)]
        by_hand = [_by_hand(clip, words.decode(each)) for each in ids] if clip else []
        same = clip is None or _hash(clip) == before
        return {"ui": {"text": [found, by_hand, events, same]}}


class Guesses:
    """Passes a CLIP on, and from then on lets a language model pass that guesses, as random weights do, or not."""

    CATEGORY, FUNCTION, RETURN_TYPES = "probe", "run", ("CLIP",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"clip": ("CLIP",), "pass": ("BOOLEAN",)}}

    def run(self, clip, **how):
        _module("nodes.comfy.language_prior").PLAUSIBLE = math.inf if how["pass"] else 0.9
        return (clip,)


@torch.no_grad()
def _by_hand(clip, text):
    clip.load_model()
    kind = next(name for name in KINDS if hasattr(clip.cond_stage_model, name))
    transformer, raw = getattr(clip.cond_stage_model, kind).transformer, getattr(clip.tokenizer, kind).tokenizer
    begin, end = GEMMA if kind.startswith("gemma") else QWEN
    ids = torch.tensor([[begin, *(token for token in raw(text)["input_ids"] if token != begin), end]])
    embedded = transformer.get_input_embeddings()(ids, out_dtype=torch.float32)
    table = getattr(transformer.model, "lm_head", transformer.model.embed_tokens).weight.float()
    logits = transformer.model(None, embeds=embedded)[0][0].float() @ table.T
    if kind == "gemma2_2b":
        logits = 30 * torch.tanh(logits / 30)
    return torch.nn.functional.cross_entropy(logits[:-1], ids[0, 1:], reduction="sum").item()


def _module(name):
    (package,) = (known for known in sys.modules if known.endswith("ComfyUI-PEZ"))
    return importlib.import_module(f"{package}.{name}")


def _hash(clip):
    digest = hashlib.sha256()
    clip.load_model()
    for name, value in sorted(clip.cond_stage_model.state_dict().items()):
        digest.update(name.encode() + value.cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _pieces():
    """A sentencepiece model with Gemma's special tokens, as its files bring one."""
    lines = ["a large body of water", "old key", "red heart on a table", "made of wood", "the quick brown fox jumps"]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines * 20), model_writer=model, vocab_size=PIECES, model_type="bpe",
        hard_vocab_limit=False, pad_id=0, eos_id=1, bos_id=2, unk_id=3, minloglevel=2,
    )  # fmt: skip
    return torch.tensor(list(model.getvalue()), dtype=torch.uint8)


NODES = {"ProbeSmallLanguageModel": SmallLanguageModel, "ProbeLanguagePrior": LanguagePrior, "ProbeGuesses": Guesses}
