"""Sentences of different lengths, and a way to see the errors that users see."""

from collections.abc import Iterator
from typing import NamedTuple

import jaxtyping
import pytest
import torch
from torch import Tensor


class Sentences(NamedTuple):
    query: Tensor  # [batch, queries, size]
    keys: Tensor  # [batch, keys, size]
    values: Tensor  # [batch, keys, value_size]
    mask: Tensor  # [batch, keys]


@pytest.fixture
def sentences() -> Sentences:
    """Three sentences of 5, 3 and 1 real keys, in float64; queries as large as keys, as "dot" needs."""
    generator = torch.Generator().manual_seed(20150)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    mask = torch.arange(5) < torch.tensor([[5], [3], [1]])
    return Sentences(normal(3, 4, 6), normal(3, 5, 6), normal(3, 5, 2), mask)


@pytest.fixture
def shapes_unchecked() -> Iterator[None]:
    """Turn the tests' own shape checks off, which would otherwise come before the library's errors."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
