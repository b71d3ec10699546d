import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from shisen.data.config import TokenizerConfig
from shisen.data.tokenizer import Tokenizer
from shisen.errors import UserError
from shisen.model_directory import load_model, save_model
from shisen.models import RecurrentConfig, build_model


@pytest.fixture
def saved(tmp_path):
    """Return a model directory and the model that was saved to it."""
    source = Tokenizer.train(["a b c"], TokenizerConfig(kind="word"))
    target = Tokenizer.train(["x y"], TokenizerConfig(kind="word"))
    config = RecurrentConfig(embedding_size=4, hidden_size=4, tie_embeddings=True)
    model = build_model(config, len(source), len(target))
    directory = tmp_path / "model"
    save_model(directory, model, source, target, {"model": config.model_dump()}, {"beam_size": 5})
    return directory, model


def test_what_is_saved_is_loaded(saved):
    directory, model = saved
    loaded = load_model(directory)
    assert not loaded.model.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], tensor), name
    assert loaded.source_tokenizer.encode("c a") == [6, 4]
    assert loaded.generation_config == {"beam_size": 5}
    assert loaded.config["shisen_version"]
    assert len(loaded.fingerprint) == 16
    assert not list(directory.glob("*.partial"))


def test_a_tied_matrix_is_written_once_and_is_one_again(saved):
    directory, _ = saved
    model = load_model(directory).model
    assert model.output.weight is model.decoder.embedding.weight


def test_the_fingerprint_follows_parameters_and_tokenizers_alone(saved):
    directory, _ = saved
    before = load_model(directory).fingerprint
    (directory / "README.md").write_text("a card")
    assert load_model(directory).fingerprint == before
    loaded = load_model(directory)
    with torch.no_grad():
        loaded.model.output.bias += 1
    save_model(
        directory,
        loaded.model,
        loaded.source_tokenizer,
        loaded.target_tokenizer,
        loaded.config,
        {"beam_size": 5},
    )
    assert load_model(directory).fingerprint != before


def test_no_file_holds_code(saved):
    directory, _ = saved
    for path in directory.iterdir():
        assert path.suffix in (".json", ".safetensors")
        assert not path.read_bytes().startswith((b"\x80", b"PK"))  # pickles, and archives of them


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def edit(path: Path, **changes) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def other_model(path: Path) -> None:
    save_file({"weight": torch.ones(2)}, path)


BROKEN = [
    (
        "model.safetensors",
        truncate,
        r"model\.safetensors cannot be read as safetensors .*truncated or another",
    ),
    ("model.safetensors", lambda path: path.write_bytes(b"PK\x03\x04"), "cannot be read as safetensors"),
    ("model.safetensors", other_model, r"does not fit config\.json: decoder\.\S+ should be .* and is absent"),
    ("model.safetensors", Path.unlink, r"is not a model directory: it has no model\.safetensors"),
    ("config.json", truncate, r"config\.json is not valid JSON"),
    ("config.json", lambda path: path.write_text("[]"), r"config\.json should hold a JSON object"),
    ("config.json", lambda path: path.write_text("[" * 100_000), r"config\.json is not valid JSON"),
    ("config.json", lambda path: path.write_bytes(b"\xff\xfe"), r"config\.json is not valid JSON"),
    (
        "config.json",
        lambda path: edit(path, model={"family": "x"}),
        r"config\.json: model: family: .*shisen 0",
    ),
    ("config.json", lambda path: edit(path, model=None), r"config\.json: model: "),
    (
        "config.json",
        lambda path: edit(path, source_vocabulary_size=9),
        r"has 7 entries, but config\.json says 9",
    ),
    ("source_tokenizer.json", truncate, r"source_tokenizer\.json: not a whole JSON file"),
    ("target_tokenizer.json", lambda path: path.write_text("{}"), r"target_tokenizer\.json: not a tokenizer"),
    ("generation_config.json", truncate, r"generation_config\.json is not valid JSON"),
]


@pytest.mark.parametrize(("name", "damage", "message"), BROKEN)
def test_a_damaged_directory_is_one_clear_error(saved, name, damage, message):
    directory, _ = saved
    damage(directory / name)
    with pytest.raises(UserError, match=message) as caught:
        load_model(directory)
    assert "\n" not in str(caught.value)


def test_what_is_no_model_directory_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere does not exist"):
        load_model(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file is not a directory"):
        load_model(tmp_path / "file")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").touch()
    with pytest.raises(
        UserError, match=r"training run that has not finished .*go on with: shisen train --out"
    ):
        load_model(tmp_path / "run")
