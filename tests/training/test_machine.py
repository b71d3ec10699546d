import pytest
import torch

from shisen.errors import UserError
from shisen.training import machine
from shisen.training.config import TrainingConfig


@pytest.mark.parametrize(("amx", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_on_a_processor_bfloat16_is_chosen_only_with_matrix_units(monkeypatch, amx, expected):
    # avx512_bf16 alone is slower than float32.
    monkeypatch.setattr(
        torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True, "amx_bf16": amx}, raising=False
    )
    assert machine.resolve_precision(TrainingConfig(), "cpu") == expected


def test_a_precision_that_is_named_is_taken():
    assert machine.resolve_precision(TrainingConfig(precision="bfloat16"), "cpu") == "bfloat16"
    assert machine.resolve_precision(TrainingConfig(precision="float32"), "cuda") == "float32"


def test_a_gpu_that_is_not_there_is_an_error_only_if_it_is_asked_for(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert machine.resolve_device(TrainingConfig()) == "cpu"
    with pytest.raises(UserError, match=r"training\.device is cuda, but PyTorch finds no CUDA GPU"):
        machine.resolve_device(TrainingConfig(device="cuda"))


def test_threads_are_pytorch_s_unless_they_are_set():
    assert machine.resolve_threads(TrainingConfig()) == torch.get_num_threads()
    assert machine.resolve_threads(TrainingConfig(threads=3)) == 3


def test_other_c_libraries_are_left_alone(monkeypatch):
    def no_glibc(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(machine.ctypes, "CDLL", no_glibc)
    machine.keep_freed_memory()
