"""Offers as lists, so that tests can write and compare them."""

import torch

from pez_core.optimiser.judge import Offer, Verdict


def offer_of(ids, scores, reported):
    """An offer of ids with their scores and what is reported of them, in double precision."""
    return Offer(
        torch.tensor(ids), Verdict(*(torch.tensor(values, dtype=torch.float64) for values in (scores, reported)))
    )


def told(offer):
    """The ids, scores and reported values of an offer."""
    return offer.ids.tolist(), offer.verdict.score.tolist(), offer.verdict.reported.tolist()
