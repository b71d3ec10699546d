"""The families of networks by name, as a configuration names them."""

from collections.abc import Callable
from typing import Any

from torch import nn

from shisen.models.config import ModelConfig
from shisen.models.recurrent import RecurrentTranslator
from shisen.models.transformer import TransformerTranslator

# name -> builder; a new family is one line here and one in `shisen.models.config`
FAMILIES: dict[str, Callable[[Any, int, int], nn.Module]] = {
    "recurrent": RecurrentTranslator,
    "transformer": TransformerTranslator,
}


def build_model(config: ModelConfig, source_vocabulary_size: int, target_vocabulary_size: int) -> nn.Module:
    """The network that a configuration describes, freshly initialised from torch's random state."""
    return FAMILIES[config.family](config, source_vocabulary_size, target_vocabulary_size)
