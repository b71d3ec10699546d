"""The families of networks in a configuration: each has its own keys, and a mistake is told in its terms."""

import pytest
import yaml

from shisen.errors import UserError
from shisen.models import FAMILIES
from shisen.models.config import TransformerConfig, parse_model_config
from shisen.training.config import Config
from shisen.training.config_file import changed_keys, dump_config, load_config, sections_of
from shisen.training.config_text import config_text

FAMILY_CONFIGS = sections_of(Config.model_fields["model"])

DATA = "data: {train: {source: a.tsv}}\n"
TRANSFORMER = DATA + "model:\n  family: transformer\n"


def load(folder, text, overrides=()):
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, overrides)


def test_every_family_has_its_keys_and_its_network():
    assert FAMILY_CONFIGS.keys() == FAMILIES.keys()
    for name, keys in FAMILY_CONFIGS.items():
        assert keys().family == name
        assert parse_model_config({"family": name}) == keys()


def test_without_a_family_it_is_the_recurrent_one(tmp_path):
    assert load(tmp_path, DATA).model.family == "recurrent"
    assert load(tmp_path, DATA + "model: {hidden_size: 12}\n").model.family == "recurrent"


def test_a_family_takes_its_own_keys_and_can_be_set_on_the_command_line(tmp_path):
    config = load(tmp_path, TRANSFORMER + "  heads: 8\n", ["model.norm=post", "model.positions=rotary"])
    assert config.model == TransformerConfig(heads=8, norm="post", positions="rotary")
    assert load(tmp_path, DATA, ["model.family=transformer"]).model == TransformerConfig()


def test_a_written_configuration_is_read_back(tmp_path):
    config = load(tmp_path, TRANSFORMER + "  encoder_pattern: window(8)\n")
    assert load(tmp_path, dump_config(config)) == config
    other = load(tmp_path, TRANSFORMER + "  heads: 2\n  encoder_pattern: window(8)\n")
    assert changed_keys(config, other) == ["model.heads"]


MISTAKES = [
    # what is in the file, --set, what the message says
    (
        DATA,
        ["model.family=transfromer"],
        "model.family is 'transfromer'; allowed: one of recurrent, transfor",
    ),
    (DATA + "model:\n  family: 3\n", [], "line 3: model.family is 3; allowed: one of recurrent, transformer"),
    (DATA + "model:\n  family: [gru]\n", [], "line 3: model.family is a list; allowed: one of recurrent"),
    (TRANSFORMER + "  hidden_size: 3\n", [], "line 4: unknown key model.hidden_size"),
    (TRANSFORMER + "  headz: 3\n", [], "line 4: unknown key model.headz; did you mean model.heads?"),
    (DATA + "model:\n  heads: 3\n", [], "line 3: unknown key model.heads"),
    (TRANSFORMER + "  heads: 3\n", [], "model_size (256) is no multiple of heads (3)"),
    (TRANSFORMER + "  heads: 0\n", [], "line 4: model.heads is 0; allowed: a whole number, at least 1"),
    (TRANSFORMER + "  norm: middle\n", [], "model.norm is 'middle'; allowed: one of pre, post"),
    (TRANSFORMER + "  key_value_heads: 3\n", [], "heads (4) is no multiple of key_value_heads (3)"),
    (
        TRANSFORMER + "  positions: rotary\n  model_size: 12\n",
        [],
        "positions rotary needs heads of an even size, and model_size / heads is 3",
    ),
    (TRANSFORMER + "  model_size: 5\n  heads: 1\n", [], "positions sinusoidal needs an even model_size"),
    (
        TRANSFORMER + "  positions: alibi\n  encoder_pattern: window(3)\n",
        [],
        "encoder_pattern works with positions sinusoidal or learned",
    ),
    (
        TRANSFORMER + "  encoder_pattern: windw(3)\n",
        [],
        "line 4: model.encoder_pattern: there is no pattern 'windw' (did you mean window?)",
    ),
    (
        TRANSFORMER,
        ["model.encoder_pattern=window("],
        "--set model.encoder_pattern=window(: model.encoder_pat",
    ),
    (TRANSFORMER + "  tie_embeddings: three-way\n", [], "three-way needs one vocabulary: set data.tokenizer"),
]


@pytest.mark.parametrize(("text", "overrides", "message"), MISTAKES)
def test_each_mistake_is_named_with_its_place_and_what_is_allowed(tmp_path, text, overrides, message):
    with pytest.raises(UserError) as error:
        load(tmp_path, text, overrides)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_printed_configuration_shows_every_family(tmp_path):
    text = config_text()
    for name in FAMILY_CONFIGS:
        assert f"family: {name}" in text
    shown = text[text.index("# model:\n") :]
    shown = shown[: shown.index("\n\n")]
    keys = yaml.safe_load("\n".join(line.removeprefix("# ") for line in shown.splitlines()))["model"]
    assert parse_model_config(keys) == TransformerConfig()
