"""Networks made of attention mechanisms: the recurrent encoder-decoder, the Transformer, and their losses."""

from shisen.models.config import ModelConfig, RecurrentConfig, TransformerConfig
from shisen.models.families import FAMILIES, build_model
from shisen.models.recurrent import RecurrentTranslator
from shisen.models.transformer import TransformerTranslator
from shisen.models.translation import LossOutput, StepOutput, TranslationBatch

__all__ = [
    "FAMILIES",
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
