"""Hard prompts that make a causal language model classify text (Wen et al. 2023, section 5)."""

from .classifier import Classifier
from .data import Examples, few_shot, read_examples, split, train_and_validation
from .evaluation import Evaluation, evaluate, transfer
from .fit import fit
from .fit_file import fit_file
from .loading import load_language_model
from .model import LanguageModel
from .reader import TextReader
from .result import ClassificationResult, Ranked
from .settings import FitSettings
from .template import Template
from .verbalizer import Verbalizer

__all__ = [
    "ClassificationResult", "Classifier", "Evaluation", "Examples", "FitSettings", "LanguageModel", "Ranked",
    "Template", "TextReader", "Verbalizer", "evaluate", "few_shot", "fit", "fit_file", "load_language_model",
    "read_examples", "split", "train_and_validation", "transfer",
]  # fmt: skip
