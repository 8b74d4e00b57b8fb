"""What each token of a prompt is worth: the similarity that is lost when it is left out."""

from collections.abc import Sequence

import torch

from .device.out_of_memory import in_parts
from .encoders.encoder import Encoder
from .hard_prompt import TokenContribution
from .objectives import Objective

TOGETHER = 16


@torch.no_grad()
def contributions(encoder: Encoder, tokens: Sequence[int], objective: Objective) -> tuple[TokenContribution, ...]:
    """The tokens of a prompt, and by how much its similarity falls without each; of those in the first window."""
    tokens = list(tokens[: encoder.tower.window])
    texts = encoder.vocabulary.texts
    versions = [tokens, *(tokens[:place] + tokens[place + 1 :] for place in range(len(tokens)))]
    features = torch.cat(in_parts(encoder.tower.encode_ids, versions, TOGETHER))
    whole, *without = objective.similarity(features).tolist()
    return tuple(TokenContribution(texts[token] or "", whole - left) for token, left in zip(tokens, without))
