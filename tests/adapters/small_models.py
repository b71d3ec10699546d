"""Small models of transformers with random parameters, and tokenizers of a few words."""

from typing import Any

import numpy as np
import pytest
import torch

transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")

WORDS = ["the", "cat", "sat", "on", "mat", "dog", "read", "books", "a", "I", "love", "deep", "learning"]
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]
SIZE = len(SPECIAL) + len(WORDS)
SENTENCE = "the cat sat on the mat"
SENTENCES = [SENTENCE, "dog", "I love deep learning", "a dog read books on the mat"]


_SIZES = {
    "vocab_size": SIZE,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "max_position_embeddings": 64,
}
_GROUPED = {**_SIZES, "num_key_value_heads": 2}
#: Architectures whose base models are tried besides, and their settings.
OTHERS: dict[str, dict[str, Any]] = {
    "Roberta": _SIZES,
    "Electra": {**_SIZES, "embedding_size": 8},
    "ModernBert": _SIZES,
    "DebertaV2": _SIZES,
    "XLNet": {"vocab_size": SIZE, "d_model": 16, "n_layer": 2, "n_head": 4, "d_inner": 24},
    "Bloom": {"vocab_size": SIZE, "hidden_size": 16, "n_layer": 2, "n_head": 4},
    "GPTNeoX": _SIZES,
    "Qwen3": {**_GROUPED, "head_dim": 4},
    "Mistral": {**_GROUPED, "sliding_window": 3},
    "Gemma2": {**_GROUPED, "head_dim": 4, "sliding_window": 3},
}


def word_tokenizer(begins: bool = False, ends: bool = True, pads: bool = True) -> Any:
    """A fast tokenizer of whole words, with ``<s>`` and ``</s>`` around them or not."""
    import tokenizers

    vocabulary = {word: number for number, word in enumerate([*SPECIAL, *WORDS])}
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    template = " ".join(["<s>"] * begins + ["$A"] + ["</s>"] * ends)
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single=template, special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    padding = {"pad_token": "<pad>"} if pads else {}
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>", **padding
    )


def _bert(**settings: Any) -> Any:
    return transformers.BertConfig(
        vocab_size=SIZE,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=24,
        pad_token_id=0,
        **settings,
    )


def _gpt2(**settings: Any) -> Any:
    return transformers.GPT2Config(
        vocab_size=SIZE,
        n_embd=16,
        n_layer=3,
        n_head=4,
        n_positions=32,
        bos_token_id=1,
        eos_token_id=2,
        **settings,
    )


def _vit(**settings: Any) -> Any:
    return transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=24,
        image_size=24,
        patch_size=8,
        **settings,
    )


def _two_sides(name: str, **settings: Any) -> Any:
    return getattr(transformers, f"{name}Config")(
        vocab_size=SIZE,
        d_model=16,
        encoder_layers=2,
        decoder_layers=3,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=24,
        decoder_ffn_dim=24,
        max_position_embeddings=32,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
        forced_eos_token_id=2,
        **settings,
    )


def make(name: str, **how: Any) -> Any:
    """A model by its name, the same at each call; with dropout, which must not be seen.

    Args:
        name: One of those below.
        how: Settings of every configuration, ``attn_implementation="eager"``.
    """
    torch.manual_seed(3)
    models: dict[str, Any] = {
        "bert": lambda: transformers.BertModel(_bert(**how)),
        "bert-classifier": lambda: transformers.BertForSequenceClassification(_bert(**how)),
        "distilbert": lambda: transformers.DistilBertModel(
            transformers.DistilBertConfig(
                vocab_size=SIZE, dim=16, n_layers=2, n_heads=4, hidden_dim=24, **how
            )
        ),
        "albert": lambda: transformers.AlbertModel(
            transformers.AlbertConfig(
                vocab_size=SIZE,
                embedding_size=8,
                hidden_size=16,
                num_hidden_layers=3,
                num_attention_heads=4,
                intermediate_size=24,
                **how,
            )
        ),
        "gpt2": lambda: transformers.GPT2LMHeadModel(_gpt2(**how)),
        "llama": lambda: transformers.LlamaForCausalLM(
            transformers.LlamaConfig(
                vocab_size=SIZE,
                hidden_size=16,
                num_hidden_layers=3,
                num_attention_heads=4,
                num_key_value_heads=2,
                intermediate_size=24,
                max_position_embeddings=32,
                bos_token_id=1,
                eos_token_id=2,
                pad_token_id=0,
                **how,
            )
        ),
        "t5": lambda: transformers.T5ForConditionalGeneration(
            transformers.T5Config(
                vocab_size=SIZE,
                d_model=16,
                d_kv=4,
                d_ff=24,
                num_layers=2,
                num_heads=4,
                pad_token_id=0,
                eos_token_id=2,
                decoder_start_token_id=0,
                **how,
            )
        ),
        "bart": lambda: transformers.BartForConditionalGeneration(_two_sides("Bart", **how)),
        "marian": lambda: transformers.MarianMTModel(_two_sides("Marian", **how)),
        "mbart": lambda: transformers.MBartForConditionalGeneration(_two_sides("MBart", **how)),
        "vit": lambda: transformers.ViTForImageClassification(_vit(**how)),
        "vit-gpt2": lambda: _vision_encoder_decoder(
            transformers.GPT2LMHeadModel(_gpt2(add_cross_attention=True, **how)), **how
        ),
        "vit-bert": lambda: _vision_encoder_decoder(
            transformers.BertLMHeadModel(_bert(is_decoder=True, add_cross_attention=True, **how)), **how
        ),
        "vit-trocr": lambda: _vision_encoder_decoder(
            transformers.TrOCRForCausalLM(
                transformers.TrOCRConfig(
                    vocab_size=SIZE,
                    d_model=16,
                    decoder_layers=2,
                    decoder_attention_heads=4,
                    decoder_ffn_dim=24,
                    cross_attention_hidden_size=16,
                    max_position_embeddings=32,
                    pad_token_id=0,
                    bos_token_id=1,
                    eos_token_id=2,
                    **how,
                )
            ),
            **how,
        ),
    }
    model = models[name]()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1 and parameter.requires_grad:
                parameter.mul_(2 if name == "t5" else 8)  # else the weights of attention are all alike
    return model


def _vision_encoder_decoder(decoder: Any, **how: Any) -> Any:
    encoder = transformers.ViTModel(_vit(**how))
    model = transformers.VisionEncoderDecoderModel(encoder=encoder, decoder=decoder)
    model.config.decoder_start_token_id = 1
    model.config.pad_token_id = 0
    model.config.eos_token_id = 2
    model.generation_config = transformers.GenerationConfig(
        decoder_start_token_id=1, eos_token_id=2, pad_token_id=0, max_length=12
    )
    return model


def tokenizer_of(name: str) -> Any:
    """The tokenizer that goes with a model."""
    if name in ("gpt2", "llama"):
        return word_tokenizer(begins=name == "llama", ends=False, pads=name != "gpt2")
    return word_tokenizer(begins=name != "t5")


def picture(height: int = 30, width: int = 40) -> Any:
    """A picture of random colours."""
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)


def image_processor() -> Any:
    """What turns a picture into 24 × 24 pixels."""
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    return ViTImageProcessorPil(size={"height": 24, "width": 24})
