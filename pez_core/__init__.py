"""Hard prompts made easy (Wen et al. 2023): text found by gradient descent, for pictures and for long prompts.

from pez_core import SearchSettings, invert, load_encoder, open_pictures

encoder = load_encoder()
targets = encoder.encode_images(open_pictures([path]))
print(invert(encoder, targets, SearchSettings(tokens=8)).text)
"""

from .conditioning import conditioning_encoder
from .encoder import Encoder, load_encoder
from .errors import PezError
from .hard_prompt import HardPrompt, SearchSettings
from .pictures import open_pictures
from .search import Progress
from .tasks import concat, distill, invert, negative, score, style

__all__ = [
    "Encoder",
    "HardPrompt",
    "PezError",
    "Progress",
    "SearchSettings",
    "concat",
    "conditioning_encoder",
    "distill",
    "invert",
    "load_encoder",
    "negative",
    "open_pictures",
    "score",
    "style",
]
