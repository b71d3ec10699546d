from pathlib import Path

import pytest
import yaml

from shisen.errors import UserError
from shisen.training.config_file import changed_keys, dump_config, load_config
from shisen.training.config_text import config_text

DATA = "data:\n  train: {source: a.txt, target: b.txt}\n"
VALIDATION = "  validation: {source: c.txt, target: d.txt}\n"


def load(folder: Path, text: str, *overrides: str):
    path = folder / "config.yaml"
    path.write_text(text, "utf-8")
    return load_config(path, overrides)


def test_what_is_not_written_has_its_default(tmp_path):
    config = load(tmp_path, DATA)
    assert config.model.attention == "bahdanau"
    assert config.training.clip_gradient_norm == 1.0
    assert config.training.checkpoint_minutes == 5.0


def test_keys_on_the_command_line_win_over_the_file(tmp_path):
    config = load(
        tmp_path,
        DATA + "training: {max_epochs: 3}\n",
        "training.max_epochs=null",
        "training.max_steps=7",
        "model.attention=luong-general",
        "data.train.source=x y.txt",
    )
    assert (config.training.max_epochs, config.training.max_steps) == (None, 7)
    assert config.model.attention == "luong-general"
    assert config.data.train.source == "x y.txt"


@pytest.mark.parametrize("number", ["1e-3", "1E-3", "0.001", "1.0e-3"])
def test_numbers_are_read_as_people_write_them(tmp_path, number):
    assert load(tmp_path, DATA + f"training:\n  learning_rate: {number}\n").training.learning_rate == 1e-3


def test_a_dumped_configuration_reads_back_the_same(tmp_path):
    config = load(tmp_path, DATA, "training.learning_rate=3.3e-05", "model.cell=lstm")
    assert load(tmp_path, dump_config(config)) == config


def test_changed_keys_are_named_with_their_sections(tmp_path):
    before = load(tmp_path, DATA + VALIDATION)
    after = load(tmp_path, DATA, "training.seed=5", "model.dropout=0.1")
    assert changed_keys(before, before) == []
    assert set(changed_keys(before, after)) >= {"training.seed", "model.dropout", "data.validation.source"}


def test_the_printed_configuration_is_valid_once_the_paths_are_filled_in(tmp_path):
    config = load(tmp_path, config_text(), "data.train.source=a.txt", "data.train.target=b.txt")
    assert config == load(tmp_path, DATA)
    with pytest.raises(UserError, match=r"data\.train\.source is empty"):
        load(tmp_path, config_text())


def test_the_printed_configuration_explains_every_key():
    lines = config_text().splitlines()
    for number, line in enumerate(lines):
        if ":" in line and not line.lstrip().startswith("#"):
            assert lines[number - 1].lstrip().startswith("#"), f"no comment above {line!r}"
    text = config_text().replace("\n  # ", " ")
    assert "one of none, bahdanau, luong-dot, luong-general, luong-concat, local-m, local-p]" in text
    assert max(map(len, lines)) <= 102


def test_the_commented_section_is_valid_without_its_marks(tmp_path):
    text = config_text().replace("\n  #   ", "\n    ").replace("    source:\n", "    source: a.tsv\n")
    assert yaml.safe_load(text)["data"]["validation"]["source"] == "a.tsv"
    assert load(tmp_path, text).data.validation.source == "a.tsv"


MISTAKES = [
    # what is in the file, --set, what the message says
    ("", [], "the section data is missing"),
    ("data: {train: {}}\n", [], "data.train.source is missing (file of source sentences"),
    ("data: [\n", [], "line 2: not valid YAML"),
    ("- a\n- b\n", [], "expected the sections data, model and training, and found a list"),
    (
        DATA + "model:\n  atention: none\n",
        [],
        "line 4: unknown key model.atention; did you mean model.attention?",
    ),
    (DATA + "batch_size: 5\n", [], "line 3: unknown key batch_size; did you mean training.batch_size?"),
    (DATA + "optimizer:\n  name: adam\n", [], "unknown key optimizer; did you mean training.optimizer?"),
    (DATA + "zzz: 1\n", [], "unknown key zzz; the configuration has the keys data, model, training"),
    (
        DATA + "model:\n  attention: fancy\n",
        [],
        "model.attention is 'fancy'; allowed: one of none, bahdanau, luong-dot, luong-general, luong-concat, "
        "local-m, local-p",
    ),
    (DATA + "model:\n  attention: 3\n", [], "model.attention is 3; allowed: one of none, bahdanau"),
    (
        DATA,
        ["model.attention_function=hardmax"],
        "model.attention_function is 'hardmax'; allowed: one of softmax, sparsemax, entmax15",
    ),
    (DATA, ["model.attention_window=0"], "model.attention_window is 0; allowed: a whole number, at least 1"),
    (DATA, ["model.coverage_loss=-1"], "model.coverage_loss is -1; allowed: a number, at least 0"),
    (
        DATA + "model:\n  attention: luong-dot\n  coverage: true\n",
        [],
        "line 3: model: coverage needs the attention bahdanau or luong-concat, and it is luong-dot",
    ),
    (
        DATA + "model:\n  dropout: 1.0\n",
        [],
        "model.dropout is 1.0; allowed: a number, at least 0 and below 1",
    ),
    (
        DATA + "model:\n  dropout: .nan\n",
        [],
        "model.dropout is nan; allowed: a number, at least 0 and below 1",
    ),
    (DATA + "model:\n  hidden_size: 0\n", [], "model.hidden_size is 0; allowed: a whole number, at least 1"),
    (DATA + "model:\n  hidden_size: 2.5\n", [], "model.hidden_size is 2.5; allowed: a whole number"),
    (DATA + "model:\n  hidden_size: true\n", [], "model.hidden_size is true; allowed: a whole number"),
    (DATA + "model:\n  bidirectional: 1\n", [], "model.bidirectional is 1; allowed: true or false"),
    (DATA + "model: gru\n", [], "line 3: model is a section of keys, and is given as text"),
    (DATA + "model:\n  cell: gru\n  cell: lstm\n", [], "line 5: model.cell is set twice (first in line 4)"),
    (DATA + "model:\n  cell: {kind: gru}\n", [], "model.cell is a section; allowed: one of gru, lstm"),
    (
        DATA + "training:\n  learning_rate: fast\n",
        [],
        "training.learning_rate is 'fast'; allowed: a number, above 0",
    ),
    (DATA + "training:\n  seed: -1\n", [], "training.seed is -1; allowed: a whole number, at least 0"),
    (DATA, ["training.batch_size=0"], "--set training.batch_size=0: training.batch_size is 0; allowed"),
    (DATA, ["model.attention"], "--set model.attention: expected section.key=value"),
    (DATA, ["=3"], "--set =3: expected section.key=value"),
    (DATA, ["model.cell=["], "--set model.cell=[: the value is not valid YAML"),
    (DATA, ["model.cel=gru"], "--set model.cel=gru: unknown key model.cel; did you mean model.cell?"),
    (DATA, ["training.schedule=inverse-sqrt"], "schedule inverse-sqrt needs warmup_steps of at least 1"),
    (
        DATA,
        ["training.schedule=cosine", "training.max_epochs=null"],
        "training: schedule cosine falls to zero at the end; set max_steps or max_epochs",
    ),
    (DATA, ["training.max_epochs=null"], "nothing ends this training"),
    (DATA, ["training.max_epochs=null", "training.patience=null"], "nothing ends this training"),
    (DATA, ["training.schedule=plateau"], "training.schedule plateau needs validations; set data.validation"),
    (DATA, ["training.metric=bleu"], "training.metric bleu needs validations; set data.validation"),
    (
        DATA + VALIDATION,
        ["training.metric=bleu", "training.bleu_sentences=0"],
        "metric bleu needs bleu_sentences",
    ),
    (
        DATA,
        ["data.train.split=dev"],
        "data.train: split has no meaning where source and target are two files",
    ),
]


@pytest.mark.parametrize(("text", "overrides", "message"), MISTAKES)
def test_a_mistake_is_one_line_that_names_place_and_remedy(tmp_path, text, overrides, message):
    with pytest.raises(UserError) as caught:
        load(tmp_path, text, *overrides)
    said = str(caught.value)
    assert message in said
    assert "\n" not in said
    assert "config.yaml" in said or "--set" in said


def test_several_mistakes_are_counted(tmp_path):
    with pytest.raises(UserError, match=r"and 2 more problems"):
        load(tmp_path, DATA + "training: {seed: -1, batch_size: 0, log_interval: 0}\n")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UserError, match=r"missing\.yaml: the configuration cannot be read \(No such file"):
        load_config(tmp_path / "missing.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"data: \xe9\n")
    with pytest.raises(UserError, match=r"latin\.yaml: not UTF-8 \(byte 7\)"):
        load_config(tmp_path / "latin.yaml")
    with pytest.raises(UserError, match="Is a directory"):
        load_config(tmp_path)
