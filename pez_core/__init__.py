"""Hard prompts made easy (Wen et al. 2023): text found by gradient descent, for pictures and for long prompts.

from pez_core import SearchSettings, invert, load_encoder, open_pictures

encoder = load_encoder()
targets = encoder.encode_images(open_pictures([path]))
print(invert(encoder, targets, SearchSettings(tokens=8)).text)
"""

from .encoders import load_encoder
from .encoders.conditioning import conditioning_encoder
from .encoders.encoder import Encoder
from .encoders.pictures import open_pictures
from .errors import PezError
from .feature_judge import FeatureJudge
from .guided_search import GuidedSearch
from .hard_prompt import HardPrompt, TokenContribution
from .many import invert_many
from .objectives import Match, Objective, WeightedSum
from .optimiser.run import OnStep, Progress
from .priors import Prior, embedded_prior
from .search import search
from .search_result import SearchResult
from .settings import SearchSettings
from .tasks import concat, distill, invert, negative, refine, score, style

__all__ = [
    "Encoder", "FeatureJudge", "GuidedSearch", "HardPrompt", "Match", "Objective", "OnStep", "PezError", "Prior",
    "Progress", "SearchResult", "SearchSettings", "TokenContribution", "WeightedSum", "concat",
    "conditioning_encoder", "distill", "embedded_prior", "invert", "invert_many", "load_encoder", "negative",
    "open_pictures", "refine", "score", "search", "style",
]  # fmt: skip
