"""A directory of a language model in a moment: random parameters, a vocabulary of a few sentences."""

from pathlib import Path
from typing import Any

import torch

from shisen.data.config import TokenizerConfig
from shisen.data.tokenizer import Tokenizer
from shisen.model_directory import save_model
from shisen.models import LanguageModelConfig, build_model

TEXTS = ["the cat sat on the mat .", "i love deep learning .", "a dog ran .", "you read books ."]


def save_small_text_model(folder: Path, generation: dict[str, Any] | None = None, **config: Any) -> Path:
    """Write a small random language model."""
    tokenizer = Tokenizer.train(TEXTS, TokenizerConfig(kind="word"))
    sizes = {"family": "language-model", "model_size": 8, "heads": 2, "feed_forward_size": 12, "layers": 2}
    torch.manual_seed(3)
    model = build_model(LanguageModelConfig(**(sizes | config)), 1, len(tokenizer))
    save_model(folder, model, tokenizer, tokenizer, {"model": sizes | config}, generation or {})
    return folder
