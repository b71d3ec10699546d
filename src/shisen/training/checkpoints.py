"""Checkpoints as one safetensors file, without pickle: tensors, and everything else as JSON in its header."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import CheckpointIO
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from shisen.errors import UserError
from shisen.files import write_atomically

HEADER = "shisen_checkpoint"
"""The name under which a checkpoint's JSON document is in the header."""
_TENSOR = "__tensor__"
_PAIRS = "__pairs__"
_TUPLE = "__tuple__"


class SafetensorsCheckpointIO(CheckpointIO):
    """How Lightning's checkpoints meet the disk: whole or not at all, and without code to be run."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint aside and put it in place of the one before.

        Raises:
            RunError: It could not be written (a full disk); the one before is untouched.
        """
        tensors, document = pack(checkpoint)
        write_atomically(Path(path), save(tensors, metadata={HEADER: json.dumps(document)}))

    def load_checkpoint(
        self, path: str | Path, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint; the tensors are on the CPU.

        Raises:
            UserError: The file is missing, truncated or of another kind.
        """
        try:
            with safe_open(path, framework="pt") as file:
                header = (file.metadata() or {}).get(HEADER)
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
        except (SafetensorError, OSError) as error:
            raise UserError(f"{path} cannot be read as a checkpoint ({error})") from error
        if header is None:
            raise UserError(f"{path} is a safetensors file, but not a checkpoint of a training run")
        checkpoint = unpack(json.loads(header), tensors)
        assert isinstance(checkpoint, dict)
        return checkpoint

    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete a checkpoint."""
        Path(path).unlink(missing_ok=True)


def pack(value: Any) -> tuple[dict[str, Tensor], Any]:
    """Split a nested value into named tensors and a JSON document that refers to them.

    Tensors that are one in memory (tied parameters) are kept once. Mappings may have keys of any kind,
    tuples stay tuples, and every float keeps all its bits.

    Raises:
        TypeError: The value holds something that is neither a tensor nor plain data.
    """
    tensors: dict[str, Tensor] = {}
    names: dict[tuple[int, torch.Size, torch.dtype], str] = {}

    def document(part: Any) -> Any:
        if part is None or isinstance(part, (bool, int, float, str)):
            return part
        if isinstance(part, Tensor):
            identity = (part.data_ptr(), part.shape, part.dtype)
            if part.numel() == 0 or identity not in names:
                names[identity] = str(len(tensors))
                tensors[names[identity]] = part.detach().contiguous()
            return {_TENSOR: names[identity]}
        if isinstance(part, Mapping):
            if all(isinstance(key, str) and not key.startswith("__") for key in part):
                return {key: document(item) for key, item in part.items()}
            return {_PAIRS: [[document(key), document(item)] for key, item in part.items()]}
        if isinstance(part, tuple):
            return {_TUPLE: [document(item) for item in part]}
        if isinstance(part, list):
            return [document(item) for item in part]
        raise TypeError(f"a checkpoint cannot hold a {type(part).__name__}")

    return tensors, document(value)


def unpack(document: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Put together again what `pack` took apart."""
    if isinstance(document, list):
        return [unpack(item, tensors) for item in document]
    if not isinstance(document, dict):
        return document
    if _TENSOR in document:
        return tensors[document[_TENSOR]]
    if _PAIRS in document:
        return {unpack(key, tensors): unpack(item, tensors) for key, item in document[_PAIRS]}
    if _TUPLE in document:
        return tuple(unpack(item, tensors) for item in document[_TUPLE])
    return {key: unpack(item, tensors) for key, item in document.items()}
