"""To Hugging Face transformers: a directory that ``AutoModelForSeq2SeqLM.from_pretrained`` loads.

Two of its networks are the Transformer of 2017 with sinusoidal positions: Marian's with the norms behind the
parts (post-norm), Pegasus's with the norms before them (pre-norm). Their table of positions has all sines
first and then all cosines, ours has them in turns. The features of a Transformer have no order of their own,
so all parameters are written with the features in that order, and the same is computed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Int
from torch import Tensor, nn

from shisen.attention.multi_head import MultiHeadAttention
from shisen.data.tokenizer import Tokenizer
from shisen.data.vocabulary import BEGIN, END, PADDING, SPACE, SPECIAL_TOKENS
from shisen.export.manifest import Quantization
from shisen.export.weights import Projection, keys_and_values, projection
from shisen.model_directory import LoadedModel
from shisen.models.config import TransformerConfig
from shisen.models.transformer import Layer, TransformerTranslator

POSITIONS = 1024
"""Tokens of the longest sentence on either side; the table is computed anew whenever the model is loaded."""

MAX_LENGTH = 512
"""Of a translation, in ``generation_config.json``: a limit relative to the source does not exist there."""

TARGET_TOKENIZER_FOLDER = "target_tokenizer"

_NEVER = -1e9  # added to the logits of rows that only fill up a matrix


def unsupported(config: TransformerConfig) -> list[str]:
    """What of a model neither Marian's network nor Pegasus's has, each with the reason."""
    reasons = []
    if config.positions != "sinusoidal":
        reasons.append(f"model.positions {config.positions} (Marian and Pegasus have sinusoidal ones)")
    if config.activation == "swiglu":
        reasons.append("model.activation swiglu (their feed-forward parts have no gate)")
    if config.encoder_pattern is not None:
        reasons.append("model.encoder_pattern (their encoders attend to all tokens)")
    if config.attention_function != "softmax":
        reasons.append(f"model.attention_function {config.attention_function} (they have the softmax only)")
    return reasons


def write(loaded: LoadedModel, folder: Path, quantization: Quantization) -> dict[str, Any]:
    """Write the model, its tokenizers and how it decodes; return what a reader has to know beside.

    Args:
        loaded: The model directory.
        folder: Where: an empty folder.
        quantization: The format of all parameters: float32, float16 or bfloat16.
    """
    network = transformers_model(cast(TransformerTranslator, loaded.model))
    network.to(getattr(torch, quantization))
    network.generation_config = _generation_config(loaded.generation_config)
    with _without_progress():
        network.save_pretrained(str(folder))
    (folder / "model.safetensors").chmod(0o644)  # the library writes it for its owner alone
    transformers_folders = {"source": folder, "target": folder / TARGET_TOKENIZER_FOLDER}
    notes = [f"Translations are decoded with the tokenizer in {TARGET_TOKENIZER_FOLDER}/."]
    for side, place in transformers_folders.items():
        tokenizer: Tokenizer = getattr(loaded, f"{side}_tokenizer")
        if tokenizer.settings.is_analysed:
            notes.append(
                f"The {side}'s words come from a morphological analyser, which transformers cannot call: "
                f"use {side}_tokenizer.json with shisen.data.tokenizer."
            )
        else:
            transformers_tokenizer(tokenizer).save_pretrained(str(place))
    settings = loaded.target_tokenizer.settings
    if settings.language is not None and (settings.language == "ja" or not settings.marks_spaces):
        notes.append(
            "Its decoding joins words with the spaces that they have; the language's own spacing is shisen's."
        )
    return {"architecture": type(network).__name__, "positions": POSITIONS, "notes": notes}


def transformers_model(model: TransformerTranslator) -> Any:
    """The same network as a `MarianMTModel` or, with pre-norm, a `PegasusForConditionalGeneration`."""
    import transformers

    config = model.config
    network: Any
    source_size = model.source_embedding.words.num_embeddings
    target_size = model.target_embedding.words.num_embeddings
    settings: dict[str, Any] = {
        "vocab_size": source_size,
        "max_position_embeddings": POSITIONS,
        "d_model": config.model_size,
        "encoder_layers": config.encoder_layers,
        "decoder_layers": config.decoder_layers,
        "encoder_attention_heads": config.heads,
        "decoder_attention_heads": config.heads,
        "encoder_ffn_dim": config.feed_forward_size,
        "decoder_ffn_dim": config.feed_forward_size,
        "activation_function": config.activation,
        "dropout": config.dropout,
        "attention_dropout": config.attention_dropout,
        "activation_dropout": config.activation_dropout,
        "scale_embedding": True,
        "pad_token_id": PADDING,
        "bos_token_id": BEGIN,
        "eos_token_id": END,
        "forced_eos_token_id": END,
        "decoder_start_token_id": BEGIN,
    }
    if config.norm == "post":
        settings |= {
            "decoder_vocab_size": target_size,
            "share_encoder_decoder_embeddings": config.tie_embeddings == "three-way",
            "tie_word_embeddings": config.tie_embeddings != "none",
        }
        network = transformers.MarianMTModel(transformers.MarianConfig(**settings))
    else:  # it has one vocabulary: the smaller one is filled up
        settings |= {
            "vocab_size": max(source_size, target_size),
            "tie_word_embeddings": config.tie_embeddings == "three-way",
        }
        network = transformers.PegasusForConditionalGeneration(transformers.PegasusConfig(**settings))
    _copy(model, network)
    return network.eval()


def sines_first(size: int) -> Int[Tensor, " size"]:
    """Where each feature of theirs stands in ours: the sines (even features), then the cosines."""
    return torch.cat([torch.arange(0, size, 2), torch.arange(1, size, 2)])


@torch.no_grad()
def _copy(model: TransformerTranslator, network: Any) -> None:
    """Put our parameters into their network, the features in their order."""
    order = sines_first(model.config.model_size)

    def reads(part: Projection, theirs: nn.Linear) -> None:
        """A layer whose inputs are features."""
        theirs.weight.copy_(part.weight[:, order])
        theirs.bias.copy_(part.bias)

    def writes(part: Projection, theirs: nn.Linear) -> None:
        """A layer whose outputs are features."""
        theirs.weight.copy_(part.weight[order])
        theirs.bias.copy_(part.bias[order])

    def norm(ours: nn.LayerNorm | nn.Identity | None, theirs: nn.LayerNorm) -> None:
        assert isinstance(ours, nn.LayerNorm)
        theirs.weight.copy_(ours.weight[order])
        theirs.bias.copy_(ours.bias[order])

    def attention(ours: MultiHeadAttention, theirs: Any) -> None:
        keys, values = keys_and_values(ours)
        reads(projection(ours.query), theirs.q_proj)
        reads(keys, theirs.k_proj)
        reads(values, theirs.v_proj)
        writes(projection(ours.out), theirs.out_proj)

    def rows(ours: Tensor, theirs: Tensor) -> None:
        """The vectors of words; where theirs are more, the others are 0."""
        theirs.zero_()
        theirs[: len(ours)] = ours[:, order]

    inner = network.model
    rows(model.source_embedding.words.weight, inner.encoder.embed_tokens.weight)
    rows(model.target_embedding.words.weight, inner.decoder.embed_tokens.weight)
    rows(model.output.weight, network.lm_head.weight)
    if hasattr(inner, "shared"):
        rows(model.source_embedding.words.weight, inner.shared.weight)
    network.final_logits_bias.fill_(_NEVER)
    network.final_logits_bias[0, : len(model.output.bias)] = model.output.bias
    for side, layers in ((inner.encoder, model.encoder), (inner.decoder, model.decoder)):
        for ours, theirs in zip(cast(list[Layer], layers), side.layers, strict=True):
            attention(cast(MultiHeadAttention, ours.self_attention), theirs.self_attn)
            norm(ours.self_attention_norm, theirs.self_attn_layer_norm)
            if ours.cross_attention is not None:
                attention(ours.cross_attention, theirs.encoder_attn)
                norm(ours.cross_attention_norm, theirs.encoder_attn_layer_norm)
            reads(projection(ours.feed_forward.inner), theirs.fc1)
            writes(projection(ours.feed_forward.outer), theirs.fc2)
            norm(ours.feed_forward_norm, theirs.final_layer_norm)
    if model.config.norm == "pre":
        norm(model.encoder_norm, inner.encoder.layer_norm)
        norm(model.decoder_norm, inner.decoder.layer_norm)


def _generation_config(ours: dict[str, Any]) -> Any:
    """How to decode: our beam and α (which divides by |y|^α there), and never <pad> or <s>."""
    import transformers

    return transformers.GenerationConfig(
        num_beams=ours.get("beam_size") or 5,
        length_penalty=float(ours.get("length_penalty") or 0.0) if "length_penalty" in ours else 1.0,
        max_length=MAX_LENGTH,
        suppress_tokens=[PADDING, BEGIN],
        pad_token_id=PADDING,
        bos_token_id=BEGIN,
        eos_token_id=END,
        forced_eos_token_id=END,
        decoder_start_token_id=BEGIN,
    )


def transformers_tokenizer(tokenizer: Tokenizer) -> Any:
    """The same tokenizer as a `PreTrainedTokenizerFast`, which puts </s> behind each sentence.

    <unk> is no special token to it, so that it stays where others are skipped.
    """
    import tokenizers
    import transformers

    backend = tokenizers.Tokenizer.from_str(tokenizer.backend_json())
    end = SPECIAL_TOKENS[END]
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"$A {end}", special_tokens=[(end, END)]
    )
    if tokenizer.settings.marks_spaces:
        decoders = tokenizers.decoders
        backend.decoder = decoders.Sequence(
            [decoders.Replace(SPACE, " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=SPECIAL_TOKENS[PADDING],
        bos_token=SPECIAL_TOKENS[BEGIN],
        eos_token=end,
        model_max_length=POSITIONS,
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )


@contextmanager
def _without_progress() -> Iterator[None]:
    """Keep the library's bars from standard error."""
    from transformers.utils import logging

    was_on = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_on:
            logging.enable_progress_bar()
