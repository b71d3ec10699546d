"""Attention weighted by the values: how long the vector is that a key adds to the context of a query.

A weight says what share of a key's value is taken, not how large that value is. Kobayashi et al. ("Attention
is not only a weight", EMNLP 2020, https://arxiv.org/abs/2004.10102, equations 3 and 4) measure

    ‖α_ij f(x_j)‖        f(x) = (x W^V + b^V) W^O        MultiHead(i) = Σ_heads Σ_j α_ij f(x_j) + b^O

with W^O the rows of the output projection that read the head. Of a recurrent model, which sums the encoder's
states h_j themselves, it is ‖α_ij h_j‖. A sink (large weights on ``</s>``) whose values are nearly 0 does
nothing, and here it shows so.

The rows of an `AttentionMap` are shares: each is divided by its sum, and then every view, statistic, pattern
and the rollout read it as they read weights. `divide=False` keeps the lengths, by which heads compare.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from shisen.attention import MultiHeadAttention, SparseSelfAttention
from shisen.data.vocabulary import BEGIN, END
from shisen.errors import UserError
from shisen.inspection.attention_map import AttentionMap, Kind
from shisen.models.recurrent import RecurrentTranslator
from shisen.models.transformer import Layer, TransformerTranslator

Attending = MultiHeadAttention | SparseSelfAttention


@runtime_checkable
class Translates(Protocol):
    """What is asked of a translator, `shisen.Translator` for one."""

    source_tokenizer: Any
    target_tokenizer: Any

    @property
    def model(self) -> Any:
        """The network."""

    def translate(self, text: Any) -> Any:
        """Translate a text."""

    def force(self, source: Any, translation: Any) -> Any:
        """Take the model through a given translation."""


def value_weighted_attention(
    translator: Translates,
    source: str,
    target: str | None = None,
    *,
    merge_heads: bool = False,
    divide: bool = True,
) -> dict[Kind, AttentionMap]:
    """Translate a sentence, or take the model through a translation, and weigh its attention by the values.

    Args:
        translator: A `shisen.Translator` with a network of PyTorch, recurrent or a Transformer.
        source: The sentence.
        target: Its translation; None: the model's own.
        merge_heads: Whether to measure ‖Σ_heads α_ij f(x_j)‖, what a layer's heads add together (they may
            cancel): maps of one head. The lengths of the heads do not sum to it.
        divide: Whether to divide each row by its sum; without, the map holds the lengths.

    Returns:
        By kind the map, with the tokens of the attention and `measure` in its metadata.

    Raises:
        UserError: The sentence is empty, or the model has no attention or is of another family.
    """
    translation = translator.translate(source) if target is None else translator.force(source, target)
    return weigh_by_values(translator, translation, merge_heads=merge_heads, divide=divide)


@torch.no_grad()
def weigh_by_values(
    translator: Translates, translation: Any, *, merge_heads: bool = False, divide: bool = True
) -> dict[Kind, AttentionMap]:
    """Weigh the attention of a `Translation` that the model has made or been taken through; as above."""
    model = translator.model
    if not translation.attention or not getattr(model, "attention_heads", True):
        raise UserError("there is no attention to weigh: the sentence is empty, or the model has none")
    source = translator.source_tokenizer.ids(translation.source_tokens) or [END]
    if isinstance(model, RecurrentTranslator):
        values = _recurrent_values(model, source)
    elif isinstance(model, TransformerTranslator):
        read = [BEGIN, *translator.target_tokenizer.ids(translation.tokens)[:-1]]
        values = _transformer_values(model, source, read)
    else:
        raise UserError(
            f"values are weighed in recurrent models and Transformers, not {type(model).__name__}"
        )
    return {
        cast(Kind, kind): _weighted(attention, values[kind], merge_heads, divide)
        for kind, attention in translation.attention.items()
    }


def transformed_values(
    attention: Attending, values: Float[Tensor, "keys projected_size"]
) -> Float[Tensor, "heads keys model_size"]:
    """f(x_j) of every head: its projected value times the rows of W^O that read the head.

    Args:
        attention: Whose projections these are.
        values: x W^V + b^V, what its `value` gives; heads may share a part.
    """
    of_each = values.unflatten(-1, (-1, attention.head_size)).transpose(
        0, 1
    )  # [value heads, keys, head_size]
    of_each = of_each.repeat_interleave(attention.heads // len(of_each), 0)  # [heads, keys, head_size]
    projection = attention.out.weight.t().unflatten(0, (attention.heads, attention.head_size))
    return of_each @ projection  # [heads, head_size, model_size]


def _transformer_values(
    model: TransformerTranslator, source: list[int], read: list[int]
) -> dict[str, list[Float[Tensor, "heads keys model_size"]]]:
    """f(x) of every layer, by kind: the model reads source and target once, and what it projects is kept."""
    places: dict[str, list[Any]] = {
        "encoder": [cast(Layer, layer).self_attention for layer in model.encoder],
        "decoder": [cast(Layer, layer).self_attention for layer in model.decoder],
        "cross": [cast(Layer, layer).cross_attention for layer in model.decoder],
    }
    device = model.output.weight.device
    words = torch.tensor([source], device=device)
    with _outputs([each.value for those in places.values() for each in those]) as outputs:
        memory = model.encode(words, torch.ones_like(words, dtype=torch.bool))
        model.decode(torch.tensor([read], device=device), memory)
    return {
        kind: [transformed_values(each, outputs[each.value][0]) for each in those]
        for kind, those in places.items()
    }


def _recurrent_values(
    model: RecurrentTranslator, source: list[int]
) -> dict[str, list[Float[Tensor, "heads keys model_size"]]]:
    """The states that the decoder attends to: one layer of one head."""
    words = torch.tensor([source], device=model.output.weight.device)
    memory = model.encode(words, torch.ones_like(words, dtype=torch.bool))
    return {"cross": [memory.prepared.values]}


@contextmanager
def _outputs(modules: list[nn.Module]) -> Iterator[dict[nn.Module, Tensor]]:
    """What modules give while the context lasts, in this thread: a model may be at work in others."""
    kept: dict[nn.Module, Tensor] = {}
    here = threading.get_ident()

    def keep(module: nn.Module, arguments: Any, output: Tensor) -> None:
        if threading.get_ident() == here:
            kept[module] = output

    handles = [module.register_forward_hook(keep) for module in modules]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()


def _weighted(
    attention: AttentionMap,
    values: list[Float[Tensor, "heads keys model_size"]],
    merge_heads: bool,
    divide: bool,
) -> AttentionMap:
    """The map of the lengths ‖α_ij f(x_j)‖."""
    vectors = np.stack(
        [layer.double().cpu().numpy() for layer in values]
    )  # [layers, heads, keys, model_size]
    weights = attention.weights.astype(np.float64)
    if merge_heads:
        # ‖Σ_h α_h f_h‖² = Σ_gh α_g α_h ⟨f_g, f_h⟩: the vectors of all queries and keys are never made.
        products = np.einsum("lgks,lhks->lghk", vectors, vectors)
        squares = np.einsum("lgqk,lghk,lhqk->lqk", weights, products, weights, optimize=True)
        lengths = np.sqrt(np.maximum(squares, 0))[:, None]
    else:
        lengths = weights * np.linalg.norm(vectors, axis=-1)[:, :, None]  # [layers, heads, queries, keys]
    metadata = {**attention.metadata, "measure": "value-weighted", "merged_heads": int(merge_heads)}
    found = replace(attention, weights=lengths.astype(np.float32), metadata=metadata)
    return found.normalized() if divide else found
