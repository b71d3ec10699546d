"""A model directory in a moment: random parameters, vocabularies of a few sentences."""

from pathlib import Path
from typing import Any

import torch

from shisen.data.config import TokenizerConfig
from shisen.data.tokenizer import Tokenizer
from shisen.data.vocabulary import UNKNOWN
from shisen.model_directory import save_model
from shisen.models import RecurrentConfig, TransformerConfig, build_model

SOURCES = ["the cat sat on the mat .", "i love deep learning .", "a dog ran .", "you read books ."]
TARGETS = [
    "猫 が マット に 座っ た 。",
    "私 は 深層 学習 が 好き です 。",
    "犬 が 走っ た 。",
    "本 を 読む 。",
]


def save_small_model(
    folder: Path, says_unknown: bool = False, generation: dict[str, Any] | None = None, **config: Any
) -> Path:
    """Write a small random model. With ``says_unknown`` its likeliest word is always ``<unk>``."""
    words = TokenizerConfig(kind="word", minimum_frequency=1)
    source, target = Tokenizer.train(SOURCES, words), Tokenizer.train(TARGETS, words)
    sizes = {"embedding_size": 12, "hidden_size": 12, "dropout": 0.1} | config
    torch.manual_seed(3)
    model = build_model(RecurrentConfig(**sizes), len(source), len(target))
    with torch.no_grad():
        for parameter in model.parameters():  # larger than at the start of training, so that words differ
            parameter.mul_(2)
        if says_unknown:
            model.output.bias[UNKNOWN] = 1e3
    save_model(folder, model, source, target, {"model": sizes}, generation or {})
    return folder


def save_small_transformer(folder: Path, is_joint: bool = False, **config: Any) -> Path:
    """Write a small random Transformer; with ``is_joint`` one vocabulary serves both sides."""
    words = TokenizerConfig(kind="word", minimum_frequency=1)
    source = Tokenizer.train(SOURCES + TARGETS if is_joint else SOURCES, words)
    target = source if is_joint else Tokenizer.train(TARGETS, words)
    sizes = {"model_size": 16, "heads": 4, "feed_forward_size": 24, "encoder_layers": 2, "decoder_layers": 2}
    settings = {"family": "transformer"} | sizes | config
    torch.manual_seed(3)
    model = build_model(TransformerConfig(**settings), len(source), len(target))
    with torch.no_grad():
        for parameter in model.parameters():  # biases and norms too: nothing may be left out unnoticed
            parameter.add_(0.2 * torch.randn_like(parameter))
    save_model(folder, model, source, target, {"model": settings}, {})
    return folder
