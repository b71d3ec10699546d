"""Luong's three scores: Luong, Pham and Manning, "Effective approaches to attention-based neural machine
translation", EMNLP 2015 (https://arxiv.org/abs/1508.04025)."""

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from shisen.attention.additive import additive_scores
from shisen.attention.coverage import coverage_weights
from shisen.attention.mechanism import ScoredAttention, require_positive
from shisen.attention.normalization import AttentionFunction
from shisen.attention.precision import autocast_off, widen

Score = Literal["dot", "general", "concat"]


def dot_scores(
    query: Float[Tensor, "batch queries size"],
    keys: Float[Tensor, "batch keys size"],
) -> Float[Tensor, "batch queries keys"]:
    """Score every key for every query: e_ij = s_iᵀ h_j, in float32 (float64 for float64)."""
    with autocast_off(query.device):
        return torch.bmm(widen(query), widen(keys).transpose(1, 2))


class LuongAttention(ScoredAttention):
    """Global attention, scored with the current decoder state.

        dot:      e_ij = s_iᵀ h_j
        general:  e_ij = s_iᵀ W_a h_j
        concat:   e_ij = v_aᵀ tanh(W_a [s_i; h_j])

        α_i = softmax(e_i)      c_i = Σ_j α_ij h_j

    (Luong, Pham and Manning 2015, section 3.1; the paper's h_t and h̄_s are s_i and h_j here.) The query is
    s_i, the decoder state *after* the step; the context joins it in the attentional state
    tanh(W_c [c_i; s_i]), which the decoder makes. What depends on h alone is made once per sentence: W_a h
    for "general", and for "concat" the right part of W_a times h, as
    W_a [s; h] = W_a[:, :query_size] s + W_a[:, query_size:] h. With coverage the score of "concat" also knows
    what the steps before have attended to, e_ij = v_aᵀ tanh(W_a [s_i; h_j] + w_c c_ij); see
    :mod:`shisen.attention.coverage`.

    Parameters: none for "dot"; ``W_a`` [query_size, key_size] for "general"; ``W_a``
    [attention_size, query_size + key_size] and ``v_a`` [attention_size] for "concat". They start uniform in
    ±1/√(inputs), as torch's linear layers do. With coverage ``w_c`` [attention_size].

    Args:
        query_size: features of s.
        key_size: features of h; for "dot" equal to ``query_size``.
        score: "dot", "general" or "concat".
        attention_size: features of the hidden layer of "concat"; None: ``query_size``. "dot" and "general"
            have no such layer.
        dropout: probability of dropping a weight in training; see :class:`~shisen.attention.ScoredAttention`.
        function: what makes weights of scores; see there.
        has_coverage: whether the score reads the coverage; "concat" only.

    Raises:
        ValueError: an unknown score or function, sizes that differ for "dot", a size below 1, a dropout
            outside [0, 1), or coverage with another score than "concat".
        UserError: the function needs a library that is not installed.
    """

    def __init__(
        self,
        query_size: int,
        key_size: int,
        score: Score = "general",
        attention_size: int | None = None,
        dropout: float = 0.0,
        function: AttentionFunction = "softmax",
        has_coverage: bool = False,
    ) -> None:
        """Make the parameters that the score has."""
        super().__init__(query_size, key_size, dropout, function)
        if has_coverage and score != "concat":
            raise ValueError(f'coverage needs the score "concat", which is additive, got {score!r}')
        self.has_coverage = has_coverage
        if score == "dot":
            if query_size != key_size:
                raise ValueError(
                    'the score "dot" needs query_size and key_size to be equal, got '
                    f'{query_size} and {key_size}; "general" and "concat" allow them to differ'
                )
        elif score == "general":
            self.W_a = nn.Linear(key_size, query_size, bias=False)
        elif score == "concat":
            attention_size = query_size if attention_size is None else attention_size
            require_positive(attention_size=attention_size)
            self.W_a = nn.Linear(query_size + key_size, attention_size, bias=False)
            self.v_a = nn.Parameter(torch.empty(attention_size).uniform_(-1, 1) / attention_size**0.5)
            self.w_c = coverage_weights(attention_size) if has_coverage else None
        else:
            raise ValueError(f"unknown score {score!r}; the scores are {', '.join(get_args(Score))}")
        self.score_name = score

    def project_keys(
        self, keys: Float[Tensor, "batch keys key_size"]
    ) -> Float[Tensor, "batch keys features"]:
        """h for "dot", W_a h for "general", W_a[:, query_size:] h for "concat"."""
        if self.score_name == "dot":
            return keys
        if self.score_name == "general":
            return self.W_a(keys)
        return nn.functional.linear(keys, self.W_a.weight[:, self.query_size :])

    def score(
        self,
        query: Float[Tensor, "batch queries query_size"],
        projected: Float[Tensor, "batch keys features"],
        coverage: Float[Tensor, "batch queries keys"] | None = None,
    ) -> Float[Tensor, "batch queries keys"]:
        """sᵀ h, sᵀ W_a h or v_aᵀ tanh(W_a [s; h]), with coverage v_aᵀ tanh(W_a [s; h] + w_c c)."""
        if self.score_name != "concat":
            return dot_scores(query, projected)
        projected_query = nn.functional.linear(query, self.W_a.weight[:, : self.query_size])
        return additive_scores(projected_query, projected, self.v_a, coverage, self.w_c)
