"""A Transformer of a few features, and a batch of sentences of different lengths for it."""

import torch

from shisen.data.batches import Batch
from shisen.data.vocabulary import BEGIN, END, PADDING
from shisen.models import TransformerConfig, TransformerTranslator, build_model

SOURCE_WORDS = TARGET_WORDS = 17


def small_transformer(**settings: object) -> TransformerTranslator:
    """A network in float64 and in evaluation mode, the same each time."""
    sizes = {
        "model_size": 8,
        "heads": 2,
        "feed_forward_size": 12,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "dropout": 0.0,
    }
    torch.manual_seed(3)
    model = build_model(TransformerConfig(**{**sizes, **settings}), SOURCE_WORDS, TARGET_WORDS).double()
    assert isinstance(model, TransformerTranslator)
    return model.eval()


def batch_of() -> Batch:
    """Four pairs, of which the first have padding."""
    sources = [[4, 5, END], [6, 7, 8, 9, END], [10, END], [11, 12, 13, 4, 5, 6, END]]
    targets = [[5, 9, 7, END], [8, END], [4, 6, 10, 12, 14, END], [7, 16, 15, END]]
    return Batch(
        _padded(sources), _padded([[BEGIN, *target] for target in targets]), torch.arange(len(sources))
    )


def _padded(rows: list[list[int]]) -> torch.Tensor:
    longest = max(map(len, rows))
    return torch.tensor([row + [PADDING] * (longest - len(row)) for row in rows])
