"""The vocabulary of a language model's tokenizer."""

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from pez_core.language.vocabulary import LanguageVocabulary


def test_words_are_pieces_that_begin_with_a_space(model):
    words = {model.vocabulary.texts[token] for token in model.vocabulary.words}
    assert {"movie", "great", "maybe"} <= words
    for token in model.vocabulary.words:
        text = model.vocabulary.texts[token]
        assert text.isascii() and text.isalpha()
        assert model.vocabulary.encode(f"so {text}")[-1] == token


def test_special_tokens_are_never_allowed(model):
    assert model.vocabulary.texts[0] is None
    allowed = set(model.vocabulary.allowed_ids("all").tolist())
    assert 0 not in allowed and allowed >= model.vocabulary.words


def test_texts_are_what_ids_add_without_the_spaces_around_them(model):
    vocabulary = model.vocabulary
    assert len(vocabulary.texts) == len(model.embeddings)
    assert [vocabulary.texts[token] for token in vocabulary.encode("the movie .")] == ["the", "movie", "."]


def test_texts_are_encoded_without_start_and_decoded_without_special_tokens_and_odd_spaces(model):
    vocabulary = model.vocabulary
    ids = vocabulary.encode("the movie is lovely")
    assert vocabulary.decode(ids) == "the movie is lovely" and isinstance(ids, list)
    assert vocabulary.decode([0, *vocabulary.encode("  the"), 0, *vocabulary.encode("   movie ")]) == "the movie"
    assert vocabulary.decode([]) == ""
    assert vocabulary.decode(vocabulary.encode("it was . so")) == "it was . so"


PIECES = {
    "<unk>": 0,
    "</s>": 1,
    "▁a": 2,
    "▁so": 3,
    "so": 4,
    "▁o": 5,
    "▁co2": 6,
    "▁": 7,
    "s": 8,
    "o": 9,
    "a": 10,
    "▁é": 11,
}


@pytest.fixture
def sentencepiece():
    """Pieces in the manner of Llama and Gemma, where a space is written as ▁."""
    tokenizer = Tokenizer(models.BPE(PIECES, [("▁", "a"), ("s", "o"), ("▁", "so"), ("▁", "o")], unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Replace("▁", " ")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>")


def test_spaces_may_be_written_as_a_low_line_too(sentencepiece):
    vocabulary = LanguageVocabulary(sentencepiece, len(PIECES))
    assert vocabulary.texts == [None, None, "a", "so", "so", "o", "co2", "", "s", "o", "a", "é"]
    assert vocabulary.words == {2, 3, 5}


def test_a_text_of_several_bytes_is_that_text_and_not_its_bytes():
    """GPT-2 writes every byte as a letter of its own: é as two of them."""
    tokenizer = Tokenizer(models.BPE({"Ġ": 0, "Ã": 1, "©": 2, "Ã©": 3, "ĠÃ©": 4}, [("Ã", "©"), ("Ġ", "Ã©")]))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(False), decoders.ByteLevel()
    vocabulary = LanguageVocabulary(PreTrainedTokenizerFast(tokenizer_object=tokenizer), 5)
    assert vocabulary.encode(" é") == [4]
    assert list(vocabulary.texts[3:]) == ["é", "é"]


def test_ids_without_an_embedding_are_left_out(sentencepiece):
    assert len(LanguageVocabulary(sentencepiece, 5).texts) == 5
    assert len(LanguageVocabulary(sentencepiece, 5000).texts) == len(PIECES)


def test_plain_pieces_are_read_without_the_tokenizer_which_takes_seconds(sentencepiece, model, monkeypatch):
    """Whichever sign a tokenizer has for a space."""
    for tokenizer in (sentencepiece, model.vocabulary._tokenizer):
        plain = LanguageVocabulary(tokenizer, len(tokenizer))
        odd = [
            token for token, text in enumerate(plain.texts) if (text is not None and not text.isascii()) or text == ""
        ]
        asked, decode = [], type(tokenizer).decode

        def counted(self, ids, *options, asked=asked, decode=decode, **named):
            asked.extend(ids)
            return decode(self, ids, *options, **named)

        monkeypatch.setattr(type(tokenizer), "decode", counted)
        assert LanguageVocabulary(tokenizer, len(tokenizer)).texts == plain.texts
        assert set(asked) <= set(odd)
        monkeypatch.undo()


def test_spaces_before_punctuation_stay_whatever_the_tokenizer_is_set_to(model_folder):
    """transformers 5 cleans them up for such a tokenizer only where that is asked for by this long name."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(model_folder / "tokenizer.json"),
        clean_up_tokenization_spaces=True,
        clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output=True,
    )
    ids = tokenizer("it was . so", add_special_tokens=False).input_ids
    assert tokenizer.decode(ids) == "it was. so", "it would clean up"
    assert LanguageVocabulary(tokenizer, len(tokenizer)).decode(ids) == "it was . so"
