"""Additive attention: Bahdanau, Cho and Bengio, "Neural machine translation by jointly learning to align and
translate", ICLR 2015 (https://arxiv.org/abs/1409.0473)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from shisen.attention.additive import additive_scores
from shisen.attention.coverage import coverage_weights
from shisen.attention.mechanism import ScoredAttention, require_positive
from shisen.attention.normalization import AttentionFunction


class BahdanauAttention(ScoredAttention):
    """Additive attention, scored with the previous decoder state.

        e_ij = v_aᵀ tanh(W_a s_{i-1} + U_a h_j)      α_i = softmax(e_i)      c_i = Σ_j α_ij h_j

    (Bahdanau, Cho and Bengio 2015, section 3.1 and appendix A.1.2.) The query is s_{i-1}, the decoder state
    *before* the step; the context c_i enters the recurrent cell that makes s_i. U_a h is made once per
    sentence. With coverage the score also knows what the steps before have attended to,
    e_ij = v_aᵀ tanh(W_a s_{i-1} + U_a h_j + w_c c_ij); see :mod:`shisen.attention.coverage`.

    Parameters: ``W_a`` [attention_size, query_size], ``U_a`` [attention_size, key_size] and ``v_a``
    [attention_size]; no biases, as in the paper. They start uniform in ±1/√(inputs), as torch's linear layers
    do. With coverage ``w_c`` [attention_size].

    Args:
        query_size: features of s.
        key_size: features of h.
        attention_size: features of the hidden layer that compares the two.
        dropout: probability of dropping a weight in training; see :class:`~shisen.attention.ScoredAttention`.
        function: what makes weights of scores; see there.
        has_coverage: whether the score reads the coverage.

    Raises:
        ValueError: a size is below 1, the dropout outside [0, 1), or the function unknown.
        UserError: the function needs a library that is not installed.
    """

    def __init__(
        self,
        query_size: int,
        key_size: int,
        attention_size: int,
        dropout: float = 0.0,
        function: AttentionFunction = "softmax",
        has_coverage: bool = False,
    ) -> None:
        """Make W_a, U_a and v_a."""
        super().__init__(query_size, key_size, dropout, function)
        require_positive(attention_size=attention_size)
        self.W_a = nn.Linear(query_size, attention_size, bias=False)
        self.U_a = nn.Linear(key_size, attention_size, bias=False)
        self.v_a = nn.Parameter(torch.empty(attention_size).uniform_(-1, 1) / attention_size**0.5)
        self.has_coverage = has_coverage
        self.w_c = coverage_weights(attention_size) if has_coverage else None

    @property
    def is_plain(self) -> bool:
        """Whether it is the attention of 2015: a softmax, without coverage."""
        return self.function == "softmax" and not self.has_coverage

    def project_keys(
        self, keys: Float[Tensor, "batch keys key_size"]
    ) -> Float[Tensor, "batch keys attention_size"]:
        """U_a h."""
        return self.U_a(keys)

    def score(
        self,
        query: Float[Tensor, "batch queries query_size"],
        projected: Float[Tensor, "batch keys attention_size"],
        coverage: Float[Tensor, "batch queries keys"] | None = None,
    ) -> Float[Tensor, "batch queries keys"]:
        """v_aᵀ tanh(W_a s + U_a h), or with coverage v_aᵀ tanh(W_a s + U_a h + w_c c)."""
        return additive_scores(self.W_a(query), projected, self.v_a, coverage, self.w_c)
