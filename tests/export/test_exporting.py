"""What every export has in common: it is written whole or not at all, and refuses what it cannot hold."""

import shutil

import pytest

from shisen.errors import RunError, UserError
from shisen.export import to_ctranslate2
from shisen.export.exporting import TARGETS, export_model
from small_model import save_small_model, save_small_transformer

pytest.importorskip("ctranslate2", reason="the extra ctranslate2 is not installed")


def test_a_failure_leaves_nothing(tmp_path, monkeypatch):
    model = save_small_transformer(tmp_path / "model")

    def full(loaded, folder, quantization):
        (folder / "model.bin").write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(to_ctranslate2, "write", full)
    with pytest.raises(RunError, match="out could not be written: No space left on device"):
        export_model(model, "ctranslate2", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_an_empty_folder_is_filled_and_others_are_not(tmp_path):
    model = save_small_transformer(tmp_path / "model")
    (tmp_path / "out").mkdir()
    export_model(model, "ctranslate2", tmp_path / "out")
    assert (tmp_path / "out" / "model.bin").is_file()
    assert not list((tmp_path / "out").glob(".*"))
    with pytest.raises(UserError, match="holds files already; nothing was overwritten"):
        export_model(model, "ctranslate2", tmp_path / "out")


def test_the_same_model_gives_the_same_files(tmp_path):
    model = save_small_transformer(tmp_path / "model")
    for name in ("one", "two"):
        export_model(model, "ctranslate2", tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    shutil.rmtree(tmp_path / "one")


def test_a_family_that_a_target_does_not_hold_is_refused(tmp_path):
    model = save_small_model(tmp_path / "model")
    with pytest.raises(UserError, match="is a model of the family recurrent; CTranslate2 takes: transformer"):
        export_model(model, "ctranslate2", tmp_path / "out")
    with pytest.raises(UserError, match="unknown target 'tensorflow'; choose one of ctranslate2, onnx, hf"):
        export_model(model, "tensorflow", tmp_path / "out")


def test_each_target_has_an_extra_and_a_file_of_its_own():
    for target in TARGETS.values():
        assert target.module.startswith("shisen.export.to_")
        assert "float32" in target.quantizations
