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


def attending(kind: str) -> dict[str, object]:
    """The settings of "bahdanau", "luong-dot sparsemax", "luong-concat coverage" and the like."""
    attention, *rest = kind.split()
    function = next((word for word in rest if word != "coverage"), "softmax")
    return {
        "attention": attention,
        "attention_window": 2,  # the sentences are short
        "attention_function": function,
        "coverage": "coverage" in rest,
    }


def random_state(state: NamedTuple, beams: int = 1) -> NamedTuple:
    """A decoder's state of the same kind as `state`, for so many beams, anywhere."""

    def part(given: Tensor) -> Tensor:
        shape = (given.shape[0], beams, *given.shape[2:])
        if given.dtype == torch.long:
            return torch.randint(0, 7, shape)
        return torch.randn(shape, dtype=given.dtype)

    return type(state)(*(None if given is None else part(given) for given in state))


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
