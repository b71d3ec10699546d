"""What the machine can do: device, precision, threads, and how it keeps memory."""

import ctypes
import sys
from typing import Literal

import torch

from shisen.errors import UserError
from shisen.training.config import TrainingConfig

Precision = Literal["float32", "bfloat16"]

_M_TRIM_THRESHOLD = -1  # of glibc's malloc.h
_M_MMAP_THRESHOLD = -3
_KEPT_BYTES = 1 << 30


def resolve_device(config: TrainingConfig) -> Literal["cpu", "cuda"]:
    """Return where to compute.

    Raises:
        UserError: A GPU is asked for and there is none.
    """
    has_cuda = torch.cuda.is_available()
    if config.device == "cuda" and not has_cuda:
        raise UserError("training.device is cuda, but PyTorch finds no CUDA GPU here; set it to cpu or auto")
    return "cuda" if config.device != "cpu" and has_cuda else "cpu"


def resolve_precision(config: TrainingConfig, device: Literal["cpu", "cuda"]) -> Precision:
    """Return the operands of large products: bfloat16 only where the machine multiplies it faster.

    On processors with bfloat16 instructions but without matrix units (AMX), bfloat16 is slower than float32.
    """
    if config.precision != "auto":
        return config.precision
    is_faster = torch.cuda.is_bf16_supported(including_emulation=False) if device == "cuda" else _has_amx()
    return "bfloat16" if is_faster else "float32"


def resolve_threads(config: TrainingConfig) -> int:
    """Return how many CPU threads to compute with: what PyTorch chose (physical cores), unless it is set."""
    return config.threads or torch.get_num_threads()


def keep_freed_memory() -> None:
    """Ask the C library to keep freed memory for the next step instead of giving it back to the system.

    A training step allocates and frees the same large blocks again and again; by default glibc maps each
    anew, and touching fresh pages costs about a tenth of a step's time. Other C libraries are left alone.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # musl, for one
        return
    mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
    mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def _has_amx() -> bool:
    if hasattr(torch.cpu, "get_capabilities"):
        return bool(torch.cpu.get_capabilities().get("amx_bf16", False))
    return bool(torch.cpu._is_amx_tile_supported())  # PyTorch before 2.10
