"""The families of networks by name, as a configuration names them."""

from collections.abc import Callable
from typing import Any

from torch import nn

from shisen.models.config import LanguageModelConfig, ModelConfig
from shisen.models.language_model import LanguageModel
from shisen.models.recurrent import RecurrentTranslator
from shisen.models.transformer import TransformerTranslator


def _language_model(config: LanguageModelConfig, _: int, vocabulary_size: int) -> LanguageModel:
    """It reads and writes one text: that of the target."""
    return LanguageModel(config, vocabulary_size)


# name -> builder; a new family is one line here and one in `shisen.models.config`
FAMILIES: dict[str, Callable[[Any, int, int], nn.Module]] = {
    "recurrent": RecurrentTranslator,
    "transformer": TransformerTranslator,
    "language-model": _language_model,
}


def build_model(config: ModelConfig, source_vocabulary_size: int, target_vocabulary_size: int) -> nn.Module:
    """The network that a configuration describes, freshly initialised from torch's random state."""
    return FAMILIES[config.family](config, source_vocabulary_size, target_vocabulary_size)
