"""Priors: how likely a text is, and which texts are likely."""

from .causal import CausalModel, CausalPrior
from .embedded import embedded_prior
from .mixture import Mixture
from .ngrams import NGrams
from .prior import Prior

__all__ = ["CausalModel", "CausalPrior", "Mixture", "NGrams", "Prior", "embedded_prior"]
