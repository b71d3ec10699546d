"""What an exported directory says of itself: ``shisen_export.json``, beside the files of the target."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from shisen.errors import UserError

Target = Literal["ctranslate2", "onnx", "hf"]
Quantization = Literal["float32", "float16", "bfloat16", "int8"]

MANIFEST = "shisen_export.json"


@dataclass(frozen=True)
class Manifest:
    """What was exported, and how.

    Attributes:
        target: What it was exported to.
        quantization: The format of its parameters.
        exported_from: The fingerprint of the model directory.
        shisen_version: Of the shisen that wrote it.
        config: The model directory's own ``config.json``.
        details: What a reader of this target has to know beside.
    """

    target: str
    quantization: str
    exported_from: str
    shisen_version: str
    config: dict[str, Any]
    details: dict[str, Any]

    def write(self, directory: Path) -> None:
        """Write it into the exported directory."""
        text = json.dumps(asdict(self), ensure_ascii=False, indent=2) + "\n"
        (directory / MANIFEST).write_text(text, encoding="utf-8")


def is_exported(directory: Path) -> bool:
    """Whether a directory is one that `shisen export` wrote."""
    return (directory / MANIFEST).is_file()


def read_manifest(directory: Path) -> Manifest:
    """Read what an exported directory says of itself.

    Raises:
        UserError: There is no such file, or it is damaged.
    """
    path = directory / MANIFEST
    try:
        entries = json.loads(path.read_text("utf-8"))
        if isinstance(entries, dict):
            _check_types(path, entries, {"target": str, "config": dict, "details": dict})
        return Manifest(**entries)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{path} is no manifest of an exported model ({error}): export it again") from error


def check_details(directory: Path, manifest: Manifest, kinds: Mapping[str, type | tuple[type, ...]]) -> None:
    """Refuse a manifest whose details are not of the types that a reader of its target needs.

    Raises:
        UserError: One is missing, or of another type.
    """
    _check_types(directory / MANIFEST, manifest.details, kinds)


def _check_types(
    path: Path, entries: Mapping[str, Any], kinds: Mapping[str, type | tuple[type, ...]]
) -> None:
    for name, kind in kinds.items():
        value = entries.get(name)
        if isinstance(value, bool) or not isinstance(value, kind):
            raise UserError(
                f"{path} is no manifest of an exported model ({name} is {value!r:.40}): export it again"
            )
