"""Small random models in float64, and a sentence for them, whose decisions the tests take apart."""

import torch
from torch import Tensor

from shisen.data.vocabulary import BEGIN, END
from shisen.decoding.interface import DecodableModel
from shisen.models import RecurrentConfig, TransformerConfig, build_model

WORDS = 17
SOURCE = torch.tensor([5, 9, 4, 12, 7, END])
TARGET = torch.tensor([BEGIN, 6, 14, 8, END])
DECIDED = torch.tensor([6, 11, 8, END])
SETTINGS = {
    "bahdanau": RecurrentConfig(embedding_size=6, hidden_size=7, dropout=0.0),
    "luong": RecurrentConfig(embedding_size=6, hidden_size=7, dropout=0.0, attention="luong-general"),
    "transformer": TransformerConfig(
        model_size=8, heads=2, feed_forward_size=12, encoder_layers=1, decoder_layers=2, dropout=0.0
    ),
}


def explained_model(family: str) -> DecodableModel:
    """A network whose parameters are far enough from 0 for every source token to matter."""
    torch.manual_seed(5)
    model = build_model(SETTINGS[family], WORDS, WORDS).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def log_probabilities(model: DecodableModel, source: Tensor) -> Tensor:
    """[steps, vocabulary] of the sentence above with another source, one step after the other."""
    source = source[None]
    with torch.no_grad():
        memory = model.encode(source, torch.ones_like(source, dtype=torch.bool))
        state = model.initial_state(memory)
        rows = []
        for word in TARGET[:-1]:
            output = model.step(word.view(1, 1), state, memory)
            state = output.state
            rows.append(output.logits[0, 0].log_softmax(-1))
    return torch.stack(rows)
