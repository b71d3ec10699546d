"""Additive attention: Bahdanau, Cho and Bengio, "Neural machine translation by jointly learning to align and
translate", ICLR 2015 (https://arxiv.org/abs/1409.0473)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from shisen.attention.additive import additive_scores
from shisen.attention.mechanism import ScoredAttention, require_positive


class BahdanauAttention(ScoredAttention):
    """Additive attention, scored with the previous decoder state.

        e_ij = v_aᵀ tanh(W_a s_{i-1} + U_a h_j)      α_i = softmax(e_i)      c_i = Σ_j α_ij h_j

    (Bahdanau, Cho and Bengio 2015, section 3.1 and appendix A.1.2.) The query is s_{i-1}, the decoder state
    *before* the step; the context c_i enters the recurrent cell that makes s_i. U_a h is made once per
    sentence.

    Parameters: ``W_a`` [attention_size, query_size], ``U_a`` [attention_size, key_size] and ``v_a``
    [attention_size]; no biases, as in the paper. They start uniform in ±1/√(inputs), as torch's linear layers
    do.

    Args:
        query_size: features of s.
        key_size: features of h.
        attention_size: features of the hidden layer that compares the two.
        dropout: probability of dropping a weight in training; see :class:`~shisen.attention.ScoredAttention`.

    Raises:
        ValueError: a size is below 1, or the dropout outside [0, 1).
    """

    def __init__(self, query_size: int, key_size: int, attention_size: int, dropout: float = 0.0) -> None:
        """Make W_a, U_a and v_a."""
        super().__init__(query_size, key_size, dropout)
        require_positive(attention_size=attention_size)
        self.W_a = nn.Linear(query_size, attention_size, bias=False)
        self.U_a = nn.Linear(key_size, attention_size, bias=False)
        self.v_a = nn.Parameter(torch.empty(attention_size).uniform_(-1, 1) / attention_size**0.5)

    def project_keys(
        self, keys: Float[Tensor, "batch keys key_size"]
    ) -> Float[Tensor, "batch keys attention_size"]:
        """U_a h."""
        return self.U_a(keys)

    def score(
        self,
        query: Float[Tensor, "batch queries query_size"],
        projected: Float[Tensor, "batch keys attention_size"],
    ) -> Float[Tensor, "batch queries keys"]:
        """v_aᵀ tanh(W_a s + U_a h)."""
        return additive_scores(self.W_a(query), projected, self.v_a)
