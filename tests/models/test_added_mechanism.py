"""A mechanism from outside: one line in the list, and a configuration can name it."""

from pathlib import Path

import pytest
import torch
from small_networks import Pairs, small_model

from shisen.attention import MECHANISMS, MechanismEntry, ScoredAttention
from shisen.decoding import greedy
from shisen.errors import UserError
from shisen.models import build_model
from shisen.training.config_file import load_config
from shisen.training.config_text import config_text

CONFIG = "data:\n  train: {source: a.txt, target: b.txt}\nmodel:\n  embedding_size: 6\n  hidden_size: 8\n"


class Additive(ScoredAttention):
    """e_ij = w(s_i + h_j), with keys as large as queries, and a coverage that lowers the scores."""

    def __init__(self, settings):
        super().__init__(settings.query_size, settings.key_size, settings.dropout, settings.function)
        self.weight = torch.nn.Parameter(torch.ones(settings.query_size))
        self.has_coverage = settings.has_coverage

    def score(self, query, projected, coverage=None):
        scores = (query.unsqueeze(2) + projected.unsqueeze(1)) @ self.weight
        return scores if coverage is None else scores - coverage


def load(folder: Path, *settings: str):
    path = folder / "config.yaml"
    path.write_text(CONFIG, "utf-8")
    return load_config(path, settings).model


@pytest.mark.parametrize("query", ["previous", "current"])
def test_it_is_built_trained_and_decoded_with(batch, query, tmp_path, monkeypatch):
    entry = MechanismEntry(Additive, query=query, adds_directions=True, takes_coverage=True)
    monkeypatch.setitem(MECHANISMS, "added", entry)
    config = load(tmp_path, "model.attention=added", "model.coverage=true", "model.attention_dropout=0.1")
    torch.manual_seed(0)
    model = build_model(config, 50, 60)
    assert isinstance(model.decoder.attention, Additive)
    assert model.decoder.is_luong == (query == "current")
    assert model.encoder.adds_directions
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    before = model.loss(batch).objective
    before.backward()
    assert model.decoder.attention.weight.grad.abs().max() > 0
    optimiser.step()
    assert model.eval().loss(batch).objective < before
    found = greedy(model, batch.source, batch.source != 0, max_length=5, with_attention=True)
    assert len(found) == 5
    assert found[0].attention["cross"].sum(-1) == pytest.approx(1.0, abs=1e-5)


def test_the_configuration_lists_it_and_no_more_when_it_is_gone(tmp_path, monkeypatch):
    names = ", ".join(MECHANISMS)
    with monkeypatch.context() as added:
        added.setitem(MECHANISMS, "added", MechanismEntry(Additive, query="current"))
        assert f"one of {names}, added]" in config_text().replace("\n  # ", " ")
        with pytest.raises(UserError, match=f"model.attention is 'ad'; allowed: one of {names}, added$"):
            load(tmp_path, "model.attention=ad")
        with pytest.raises(UserError, match="coverage needs the attention bahdanau or luong-concat, and"):
            load(tmp_path, "model.attention=added", "model.coverage=true")
    with pytest.raises(UserError, match=f"model.attention is 'added'; allowed: one of {names}$"):
        load(tmp_path, "model.attention=added")


def test_bahdanaus_attention_asked_by_the_current_state_is_not_taken_for_his_decoder(batch, monkeypatch):
    entry = MECHANISMS["bahdanau"]._replace(query="current")
    monkeypatch.setitem(MECHANISMS, "bahdanau-current", entry)
    model = small_model(attention="bahdanau-current")
    memory = model.encode(batch.source, batch.source != 0)
    assert model.initial_state(memory).attentional is not None
    alone = Pairs(batch.source[:1], batch.target[:1])
    assert model.loss(alone).loss.isfinite()
