"""A language model of a few features, and a batch of texts of different lengths for it."""

import torch

from shisen.data.batches import Batch
from shisen.data.vocabulary import BEGIN, END, PADDING
from shisen.models import LanguageModel, LanguageModelConfig, build_model

WORDS = 17
TEXTS = [[5, 9, 7, END], [8, END], [4, 6, 10, 12, 14, END], [7, 16, 15, END]]


def small_language_model(**settings: object) -> LanguageModel:
    """A network in float64 and in evaluation mode, the same each time."""
    sizes = {"model_size": 8, "heads": 2, "feed_forward_size": 12, "layers": 2, "dropout": 0.0}
    torch.manual_seed(3)
    model = build_model(LanguageModelConfig(**{**sizes, **settings}), WORDS, WORDS).double()
    assert isinstance(model, LanguageModel)
    return model.eval()


def texts() -> Batch:
    """Four texts, of which three have padding."""
    longest = max(map(len, TEXTS))
    rows = [[BEGIN, *text] + [PADDING] * (longest - len(text)) for text in TEXTS]
    nothing = torch.zeros(len(rows), 0, dtype=torch.long)
    return Batch(nothing, torch.tensor(rows), torch.arange(len(rows)))
