import errno
import os

import pytest
import torch
from safetensors.torch import save_file

from shisen.errors import RunError, UserError
from shisen.training.checkpoints import SafetensorsCheckpointIO, pack, unpack


def example() -> dict:
    tensor = torch.arange(6.0).reshape(2, 3)
    return {
        "state_dict": {"a": tensor, "tied": tensor, "transposed": tensor.t(), "empty": torch.empty(0, 4)},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(3.0)}, 1: {}}, "betas": (0.9, 0.999)}],
        "random": torch.get_rng_state(),
        "bfloat16": torch.ones(2, dtype=torch.bfloat16),
        "plain": [None, True, 3, 0.1 + 0.2, float("inf"), "日本", {"__tensor__": "a trap"}, (), {}],
    }


def assert_same(a, b):
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert type(a) is type(b)
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert type(a) is type(b)
        assert a == b


def test_what_is_packed_unpacks_to_the_same():
    tensors, document = pack(example())
    assert_same(unpack(document, tensors), example())


def test_a_tied_tensor_is_kept_once():
    tensors, _ = pack({"a": (weight := torch.ones(3)), "b": weight, "c": torch.ones(3)})
    assert len(tensors) == 2


def test_what_is_not_data_is_refused():
    with pytest.raises(TypeError, match="a checkpoint cannot hold a function"):
        pack({"f": lambda: None})


def test_a_file_gives_back_what_was_saved(tmp_path):
    path = tmp_path / "last.safetensors"
    SafetensorsCheckpointIO().save_checkpoint(example(), path)
    assert_same(SafetensorsCheckpointIO().load_checkpoint(path), example())
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.safetensors"]
    assert b"pickle" not in path.read_bytes()
    SafetensorsCheckpointIO().remove_checkpoint(path)
    assert not path.exists()


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch):
    path = tmp_path / "last.safetensors"
    SafetensorsCheckpointIO().save_checkpoint({"step": 1}, path)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"last\.safetensors could not be written: No space left on device"):
        SafetensorsCheckpointIO().save_checkpoint({"step": 2}, path)
    assert SafetensorsCheckpointIO().load_checkpoint(path) == {"step": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.safetensors"]


def test_a_truncated_or_foreign_file_is_refused(tmp_path):
    path = tmp_path / "last.safetensors"
    SafetensorsCheckpointIO().save_checkpoint(example(), path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(UserError, match=r"last\.safetensors cannot be read as a checkpoint"):
        SafetensorsCheckpointIO().load_checkpoint(path)
    save_file({"a": torch.ones(1)}, path)
    with pytest.raises(UserError, match="not a checkpoint of a training run"):
        SafetensorsCheckpointIO().load_checkpoint(path)
    with pytest.raises(UserError, match="cannot be read"):
        SafetensorsCheckpointIO().load_checkpoint(tmp_path / "missing")
