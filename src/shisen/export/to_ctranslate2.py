"""To CTranslate2 (https://github.com/OpenNMT/CTranslate2), a fast engine for Transformers on CPUs and GPUs.

Its parameters have other names and are fused, which is all that this file is about. What it cannot compute is
in `unsupported`.
"""

from pathlib import Path
from typing import Any, cast

from torch import nn

from shisen.attention.multi_head import MultiHeadAttention
from shisen.data.vocabulary import BEGIN, END, SPECIAL_TOKENS, UNKNOWN
from shisen.export.manifest import Quantization
from shisen.export.weights import Projection, keys_and_values, position_table, projection
from shisen.model_directory import LoadedModel
from shisen.models.config import TransformerConfig
from shisen.models.transformer import Embedding, FeedForward, Layer, TransformerTranslator

POSITIONS = 2176
"""Positions in the table of a model that adds positions to its embeddings: tokens of the longest sentence.

A source of 1,024 tokens may have a translation of twice as many and 10 (the defaults of `Translator`).
"""

_EPSILON = 1e-5  # of torch's LayerNorm


def unsupported(config: TransformerConfig) -> list[str]:
    """What of a model CTranslate2 has no counterpart for, each with the reason."""
    reasons = []
    if config.positions == "alibi":
        reasons.append("model.positions alibi (CTranslate2 has ALiBi in decoders only)")
    if config.encoder_pattern is not None:
        reasons.append("model.encoder_pattern (its encoder attends to all tokens)")
    if config.attention_function != "softmax":
        reasons.append(f"model.attention_function {config.attention_function} (it has the softmax only)")
    return reasons


def write(loaded: LoadedModel, folder: Path, quantization: Quantization) -> dict[str, Any]:
    """Write the model and its vocabularies; return what a reader has to know beside.

    Args:
        loaded: The model directory.
        folder: Where: an empty folder.
        quantization: The format of the matrices: float32, float16, bfloat16 or int8.
    """
    model = cast(TransformerTranslator, loaded.model)
    spec = _spec(model)
    for register, tokenizer in (
        (spec.register_source_vocabulary, loaded.source_tokenizer),
        (spec.register_target_vocabulary, loaded.target_tokenizer),
    ):
        register(tokenizer.tokens(range(len(tokenizer))))
    spec.config.unk_token = SPECIAL_TOKENS[UNKNOWN]
    spec.config.bos_token = spec.config.decoder_start_token = SPECIAL_TOKENS[BEGIN]
    spec.config.eos_token = SPECIAL_TOKENS[END]
    spec.config.layer_norm_epsilon = _EPSILON
    spec.validate()
    spec.optimize(quantization=quantization)
    spec.save(str(folder))
    has_table = model.config.positions in ("sinusoidal", "learned")
    return {
        "positions": POSITIONS if has_table else None,
        "attention": {"layer": model.config.decoder_layers, "heads": model.config.heads},
    }


def _spec(model: TransformerTranslator) -> Any:
    from ctranslate2.specs import common_spec, transformer_spec

    config = model.config
    activations = {"relu": "RELU", "gelu": "GELU", "swiglu": "SWISH"}
    variant: dict[str, Any] = {
        "pre_norm": config.norm == "pre",
        "activation": common_spec.Activation[activations[config.activation]],
        "ffn_glu": config.activation == "swiglu",
        "rotary_dim": config.model_size // config.heads if config.positions == "rotary" else None,
        "rotary_interleave": True,
    }
    spec = transformer_spec.TransformerSpec(
        transformer_spec.TransformerEncoderSpec(config.encoder_layers, config.heads, **variant),
        transformer_spec.TransformerDecoderSpec(
            config.decoder_layers,
            config.heads,
            alignment_layer=-1,  # attention that is asked for: the last layer's,
            alignment_heads=0,  # the mean of all its heads
            **variant,
        ),
    )
    _set_side(spec.encoder, spec.encoder.embeddings[0], model.source_embedding, model.encoder_norm)
    _set_side(spec.decoder, spec.decoder.embeddings, model.target_embedding, model.decoder_norm)
    for part, layers in ((spec.encoder, model.encoder), (spec.decoder, model.decoder)):
        for layer_spec, layer in zip(part.layer, cast(list[Layer], layers), strict=True):
            _set_layer(layer_spec, layer)
    _set_linear(spec.decoder.projection, projection(model.output))
    return spec


def _set_side(spec: Any, words: Any, embedding: Embedding, norm: nn.Module) -> None:
    """The embedding of one side and the norm behind its last layer."""
    words.weight = _array(embedding.words.weight)
    table = position_table(embedding, POSITIONS)
    if table is not None:
        spec.position_encodings.encodings = table.numpy()
    if isinstance(norm, nn.LayerNorm):
        _set_norm(spec.layer_norm, norm)


def _set_layer(spec: Any, layer: Layer) -> None:
    own = cast(MultiHeadAttention, layer.self_attention)
    _set_norm(spec.self_attention.layer_norm, layer.self_attention_norm)
    _set_linear(spec.self_attention.linear[0], projection(own.query), *keys_and_values(own))
    _set_linear(spec.self_attention.linear[1], projection(own.out))
    cross = layer.cross_attention
    if cross is not None:
        _set_norm(spec.attention.layer_norm, cast(nn.LayerNorm, layer.cross_attention_norm))
        _set_linear(spec.attention.linear[0], projection(cross.query))
        _set_linear(spec.attention.linear[1], *keys_and_values(cross))
        _set_linear(spec.attention.linear[2], projection(cross.out))
    _set_feed_forward(spec.ffn, layer.feed_forward)
    _set_norm(spec.ffn.layer_norm, layer.feed_forward_norm)


def _set_feed_forward(spec: Any, part: FeedForward) -> None:
    """CTranslate2's first linear layer is the one that the activation reads: of a gated part the gate."""
    if part.gate is None:
        _set_linear(spec.linear_0, projection(part.inner))
    else:
        _set_linear(spec.linear_0, projection(part.gate))
        _set_linear(spec.linear_0_noact, projection(part.inner))
    _set_linear(spec.linear_1, projection(part.outer))


def _set_linear(spec: Any, *parts: Projection) -> None:
    """One linear layer of several, their outputs side by side."""
    import torch

    spec.weight = torch.cat([part.weight for part in parts]).numpy()
    spec.bias = torch.cat([part.bias for part in parts]).numpy()


def _set_norm(spec: Any, norm: nn.LayerNorm) -> None:
    spec.gamma, spec.beta = _array(norm.weight), _array(norm.bias)


def _array(parameter: Any) -> Any:
    return parameter.detach().clone().numpy()
