"""Networks made of attention mechanisms: encoder-decoders, the language model, and their losses."""

from shisen.models.attention_edit import AttentionEdit, AttentionPlace
from shisen.models.config import LanguageModelConfig, ModelConfig, RecurrentConfig, TransformerConfig
from shisen.models.families import FAMILIES, build_model
from shisen.models.language_model import LanguageModel
from shisen.models.recurrent import RecurrentTranslator
from shisen.models.transformer import TransformerTranslator
from shisen.models.translation import LossOutput, StepOutput, TranslationBatch

__all__ = [
    "FAMILIES",
    "AttentionEdit",
    "AttentionPlace",
    "LanguageModel",
    "LanguageModelConfig",
    "LossOutput",
    "ModelConfig",
    "RecurrentConfig",
    "RecurrentTranslator",
    "StepOutput",
    "TransformerConfig",
    "TransformerTranslator",
    "TranslationBatch",
    "build_model",
]
