"""load_encoder: the embedded model, open_clip's models from files, and what is refused."""

import json

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from pez_core import PezError, load_encoder
from pez_core.encoders.embedded import FOLDER as EMBEDDED_FOLDER


def test_the_embedded_model_is_small_and_ordinary(encoder):
    weights = EMBEDDED_FOLDER / "open_clip_model.safetensors"
    assert weights.stat().st_size <= 40e6
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{EMBEDDED_FOLDER}")
    assert isinstance(model, open_clip.CLIP)
    assert (encoder.name, encoder.tower.embeddings.shape[0]) == ("embedded", 49408)


def test_the_model_names_pictures_on_unseen_backgrounds(encoder, contents):
    """Top-1 among the 40 names here; the model card has the scores over all names and pictures."""
    names = encoder.tower.encode_ids(
        [encoder.vocabulary.encode(f"a drawing of {f['concept']}") for f in contents.facts]
    )
    right = (contents.features @ names.T).argmax(1) == torch.arange(len(names))
    assert right.float().mean() >= 0.8


def test_pictures_of_different_sizes_share_a_call(encoder):
    features = encoder.encode_images([torch.rand(64, 64, 3), torch.rand(1, 1, 3), torch.rand(300, 40, 4)])
    assert features.shape == (3, 256)
    assert torch.allclose(features.norm(dim=1), torch.ones(3), atol=1e-5)


def test_an_open_clip_model_loads_from_a_file(tmp_path):
    model = open_clip.create_model("RN50-quickgelu")
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    loaded = load_encoder("RN50-quickgelu", str(tmp_path / "weights.safetensors"))
    with torch.no_grad():
        expected = model.eval().encode_text(open_clip.SimpleTokenizer()(["a cat"]), normalize=True)
    assert torch.allclose(loaded.encode_text("a cat"), expected, atol=1e-5)


def test_bad_choices_are_refused(tmp_path):
    with pytest.raises(PezError, match="model 'ViT-X' is unknown"):
        load_encoder("ViT-X")
    with pytest.raises(PezError, match="'openai' does not go with the embedded model"):
        load_encoder("embedded", "openai")
    with pytest.raises(PezError, match="pretrained is missing for model 'ViT-L-14'"):
        load_encoder("ViT-L-14")
    with pytest.raises(PezError, match="neither a tag of model 'ViT-L-14' nor a file"):
        load_encoder("ViT-L-14", "nonsense")
    pickle = tmp_path / "weights.pt"
    pickle.write_bytes(b"x")
    with pytest.raises(PezError, match="is not a safetensors file"):
        load_encoder("ViT-L-14", str(pickle))
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"\xff" * 64)
    with pytest.raises(PezError, match="could not be loaded into model 'RN50'"):
        load_encoder("RN50", str(broken))


def test_the_model_card_states_the_scores():
    scores = json.loads((EMBEDDED_FOLDER / "scores.json").read_text(encoding="utf-8"))
    training = scores["training concepts"]
    assert training["top-1"] >= 0.50 and training["style"] >= 0.95
    card = (EMBEDDED_FOLDER / "README.md").read_text(encoding="utf-8")
    for group in ("training concepts", "held-out concepts"):
        cells = (f"{scores[group][name]:.1%}" for name in ("top-1", "top-5", "style"))
        assert f"| {group} | {scores[group]['pictures']:,} | {' | '.join(cells)} |" in card.splitlines()
    told = " ".join(card.split()).replace("true captions", "true caption")
    for name, value in scores["similarity"].items():
        assert f"{name} {value:.2f}" in told
