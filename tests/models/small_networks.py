"""A small batch with padding, and models small enough to differentiate in float64."""

from typing import NamedTuple

import torch
from torch import Tensor

from shisen.models import RecurrentConfig, RecurrentTranslator, build_model

SOURCE_WORDS, TARGET_WORDS = 50, 60


class Pairs(NamedTuple):
    source: Tensor
    target: Tensor


def padded(lengths: list[int], vocabulary: int) -> Tensor:
    ids = torch.randint(4, vocabulary, (len(lengths), max(lengths)))
    for row, length in enumerate(lengths):
        ids[row, length:] = 0
    return ids


def padded_pairs() -> Pairs:
    """Five pairs of different lengths, one of them of a single token."""
    torch.manual_seed(0)
    source = padded([7, 5, 3, 7, 1], SOURCE_WORDS)
    target = padded([9, 5, 3, 7, 2], TARGET_WORDS)
    target[:, 0] = 2
    return Pairs(source, target)


def small_model(**settings: object) -> RecurrentTranslator:
    """A model in float64 whose parameters are far enough from 0 for every term to show."""
    sizes = {"embedding_size": 6, "hidden_size": 8, "attention_size": 5, "dropout": 0.0}
    torch.manual_seed(1)
    model = build_model(RecurrentConfig(**{**sizes, **settings}), SOURCE_WORDS, TARGET_WORDS).double()
    assert isinstance(model, RecurrentTranslator)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def gradients(model: torch.nn.Module, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
