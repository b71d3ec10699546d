"""The attention mechanisms: (query, keys, values, mask) → (context, weights).

Every mechanism is a module with one signature, and has its formula beside it as a pure function::

    attention = BahdanauAttention(query_size=4, key_size=6, attention_size=5)
    context, weights = attention(query, keys, mask=mask)          # all at once
    prepared = attention.prepare(keys, mask=mask)                 # once per sentence
    context, weights = attention.attend(query, prepared)          # once per decoder step

Shapes: query [batch, queries, query_size] (or [batch, query_size], and the outputs lose that axis too), keys
[batch, keys, key_size], values [batch, keys, value_size], mask [batch, keys] or [batch, queries, keys] with
True = may be attended to, context [batch, queries, value_size], weights [batch, queries, keys].

Adding a mechanism is one file here and one line in :mod:`shisen.attention.mechanisms`.
"""

from shisen.attention.additive import additive_scores, additive_scores_gradients
from shisen.attention.bahdanau import BahdanauAttention
from shisen.attention.coverage import coverage_loss
from shisen.attention.dot_product import causal_mask, scaled_dot_product
from shisen.attention.local import LocalAttention
from shisen.attention.luong import LuongAttention, dot_scores
from shisen.attention.masked_softmax import masked_softmax
from shisen.attention.mechanism import Mechanism, PreparedKeys, ScoredAttention
from shisen.attention.mechanisms import (
    MECHANISMS,
    AttentionSettings,
    MechanismEntry,
    build_attention,
    names_with_coverage,
)
from shisen.attention.multi_head import KeyValueCache, MultiHeadAttention
from shisen.attention.none import NoAttention, fixed_context
from shisen.attention.normalization import AttentionFunction, attention_weights
from shisen.attention.positions import (
    alibi_bias,
    alibi_slopes,
    relative_scores,
    rotate_by_position,
    sinusoidal_positions,
)
from shisen.attention.sparse import SparseSelfAttention, SparseWeights, sparse_dot_product

__all__ = [
    "MECHANISMS",
    "AttentionFunction",
    "AttentionSettings",
    "BahdanauAttention",
    "KeyValueCache",
    "LocalAttention",
    "LuongAttention",
    "Mechanism",
    "MechanismEntry",
    "MultiHeadAttention",
    "NoAttention",
    "PreparedKeys",
    "ScoredAttention",
    "SparseSelfAttention",
    "SparseWeights",
    "additive_scores",
    "additive_scores_gradients",
    "alibi_bias",
    "alibi_slopes",
    "attention_weights",
    "build_attention",
    "causal_mask",
    "coverage_loss",
    "dot_scores",
    "fixed_context",
    "masked_softmax",
    "names_with_coverage",
    "relative_scores",
    "rotate_by_position",
    "scaled_dot_product",
    "sinusoidal_positions",
    "sparse_dot_product",
]
