"""The embedded prior: likely texts surprise it less, and its numbers are probabilities."""

import math
from itertools import pairwise

import pytest
import torch

from pez_core import embedded_prior
from pez_core.priors import Mixture, NGrams
from pez_core.priors.ngrams import FINENESS


@pytest.fixture(scope="module")
def prior():
    return embedded_prior()


@pytest.mark.parametrize(
    ("likely", "unlikely"),
    [
        ("a large body of water", "water body a of large"),
        ("old key", "key old"),
        ("made of wood", "wood of made"),
        ("telephone receiver", "telephone dying"),
    ],
)
def test_english_surprises_it_less_than_the_same_words_mixed_or_others(encoder, prior, likely, unlikely):
    read = [encoder.vocabulary.encode(text) for text in (likely, unlikely)]
    first, second = prior.surprise(read).tolist()
    assert first < second - 0.5


def test_the_surprise_of_a_text_does_not_depend_on_those_beside_it(encoder, prior):
    texts = [encoder.vocabulary.encode(text) for text in ("cat", "a bird that cannot fly", "of the of the of")]
    alone = [prior.surprise([text]).item() for text in texts]
    assert prior.surprise(texts).tolist() == pytest.approx(alone)


@pytest.mark.parametrize("before", [(), ("a",), ("made", "of"), ("qwzx",)])
def test_what_may_come_next_adds_up_to_one(encoder, prior, before):
    """Within what a byte for each surprise leaves: levels are 1 / 16 nat apart, and the rarest tokens are rounded."""
    ids = [prior._start, prior._start, *(encoder.vocabulary.encode(" ".join(before)) if before else [])][-2:]
    every = torch.arange(len(prior.unigrams))
    first, second = (torch.full_like(every, each) for each in ids)
    assert prior._surprises(first, second, every).neg().exp().sum().item() == pytest.approx(1, abs=0.04)


def test_phrases_are_whole_likely_texts_in_their_order(encoder, prior):
    phrases = prior.phrases(500)
    totals = [surprise * (len(phrase) + 1) for phrase, surprise in zip(phrases, prior.surprise(phrases).tolist())]
    assert len(set(phrases)) == 500
    assert all(before <= after + 1e-4 for before, after in pairwise(totals))
    assert {"old key", "red heart", "cat face"} & {encoder.vocabulary.decode(phrase) for phrase in prior.phrases(4096)}


def test_a_model_of_three_tokens_counts_as_written_out(prior):
    """After a pair that it knows it gives what is noted; after others it pays to look up fewer tokens."""
    byte = lambda *values: torch.tensor(values, dtype=torch.uint8)  # noqa: E731
    two = lambda *values: torch.tensor(values, dtype=torch.uint16)  # noqa: E731
    small = NGrams(
        unigrams=byte(32, 48, 64, 16),
        pair_counts=two(1, 0, 1, 0),
        pair_tokens=two(1, 0),
        pair_surprises=byte(8, 10),
        pair_backoffs=byte(4, 0, 6, 0),
        triple_counts=two(1, 0),
        triple_tokens=two(3),
        triple_surprises=byte(2),
        triple_backoffs=byte(5, 7),
        phrase_lengths=two(),
        phrase_tokens=two(),
    )
    # start is 2, end is 3. [0]: start→0 is 10 after a pair (start, start) that is unknown, then end after (start, 0).
    assert small.surprise([[0]]).item() * 2 * FINENESS == pytest.approx(10 + (7 + 4 + 16))
    # [0, 1]: 10, then 1 after (start, 0) costs its backoff 7 and the pair's 8, then end after (0, 1) is noted as 2.
    assert small.surprise([[0, 1]]).item() * 3 * FINENESS == pytest.approx(10 + (7 + 8) + 2)


def test_the_file_is_small(prior):
    from pez_core.encoders.embedded import FOLDER
    from pez_core.priors.embedded import FILE

    assert (FOLDER / FILE).stat().st_size < 8e6
    assert math.isfinite(prior.surprise([[320]]).item())


class Says:
    """Whole texts have these nats, in the order in which they are asked."""

    def __init__(self, *nats):
        self.nats = nats

    def surprise(self, prompts):
        return torch.tensor([nats / (len(prompt) + 1) for nats, prompt in zip(self.nats, prompts)])

    def phrases(self, count):
        return [self.nats][:count]


def test_a_mixture_has_the_mean_of_the_probabilities_of_whole_texts():
    found = Mixture([Says(1.0, 30.0), Says(3.0, 2.0)]).surprise([(5,), (5, 6, 7)]) * torch.tensor([2.0, 4.0])
    expected = [-math.log((math.exp(-one) + math.exp(-other)) / 2) for one, other in ((1.0, 3.0), (30.0, 2.0))]
    assert found.tolist() == pytest.approx(expected)


def test_the_phrases_of_a_mixture_are_those_of_the_first():
    assert Mixture([Says(1.0), Says(2.0)]).phrases(5) == [(1.0,)]
