"""Hard prompts that make a causal language model classify text (Wen et al. 2023, section 5)."""

from .data import Examples, few_shot, parted, read_examples, split
from .evaluation import Evaluation, evaluate, transfer
from .fit import ClassificationPrompt, FitProgress, FitSettings, fit, table
from .loading import load_language_model
from .model import LanguageModel
from .task import Task
from .template import Template
from .verbalizer import Verbalizer

__all__ = [
    "ClassificationPrompt",
    "Evaluation",
    "Examples",
    "FitProgress",
    "FitSettings",
    "LanguageModel",
    "Task",
    "Template",
    "Verbalizer",
    "evaluate",
    "few_shot",
    "fit",
    "load_language_model",
    "parted",
    "read_examples",
    "split",
    "table",
    "transfer",
]
