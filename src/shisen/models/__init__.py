"""Networks made of attention mechanisms: the recurrent encoder-decoder, with its step and its loss."""

from shisen.models.config import ModelConfig
from shisen.models.recurrent import LossOutput, Memory, RecurrentTranslator, StepOutput, build_model

__all__ = ["LossOutput", "Memory", "ModelConfig", "RecurrentTranslator", "StepOutput", "build_model"]
