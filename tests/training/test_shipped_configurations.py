"""The configurations in configs/: each is valid, and trains what its name says."""

from pathlib import Path

import pytest

from shisen.models import build_model
from shisen.training.config_file import load_config

CONFIGURATIONS = sorted((Path(__file__).resolve().parents[2] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=[path.stem for path in CONFIGURATIONS])
def test_a_shipped_configuration_is_valid_and_names_its_family(path):
    config = load_config(path)
    named = {"transformer": "transformer", "language-model": "language-model"}
    expected = next((family for part, family in named.items() if path.stem.endswith(part)), "recurrent")
    assert config.model.family == expected
    sizes = (50, 50) if config.data.tokenizer.joint else (50, 60)
    assert sum(parameter.numel() for parameter in build_model(config.model, *sizes).parameters()) > 0
    assert "--set" in path.read_text("utf-8"), "its head says how it is used"
