"""From a model directory to an exported one: what is checked first, and what every target has in common."""

import importlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shisen import __version__
from shisen.errors import UserError
from shisen.export.manifest import Manifest, Quantization
from shisen.files import check_free, folder_written_aside
from shisen.model_directory import (
    GENERATION_CONFIG,
    SOURCE_TOKENIZER,
    TARGET_TOKENIZER,
    LoadedModel,
    load_model,
)


@dataclass(frozen=True)
class Target:
    """What is asked before a model is written in another form.

    Attributes:
        title: The target's name in errors.
        module: The file here that has `unsupported(config)` and `write(loaded, folder, quantization)`.
        packages: What it imports; the extra has the target's name.
        families: The families of networks that it can hold.
        quantizations: The formats of parameters that it can hold.
        copied: Files of the model directory that go with it.
    """

    title: str
    module: str
    packages: tuple[str, ...]
    families: tuple[str, ...]
    quantizations: tuple[Quantization, ...]
    copied: tuple[str, ...]


# name -> target; a new target is one line here and one file
TARGETS: Mapping[str, Target] = {
    "ctranslate2": Target(
        "CTranslate2",
        "shisen.export.to_ctranslate2",
        ("ctranslate2",),
        ("transformer",),
        ("float32", "float16", "bfloat16", "int8"),
        (SOURCE_TOKENIZER, TARGET_TOKENIZER, GENERATION_CONFIG),
    ),
    "onnx": Target(
        "ONNX",
        "shisen.export.to_onnx",
        ("onnx", "onnxscript", "onnxruntime"),
        ("recurrent", "transformer"),
        ("float32", "int8"),
        (SOURCE_TOKENIZER, TARGET_TOKENIZER, GENERATION_CONFIG),
    ),
    "hf": Target(
        "Hugging Face transformers",
        "shisen.export.to_hf",
        ("transformers",),
        ("transformer",),
        ("float32", "float16", "bfloat16"),
        (SOURCE_TOKENIZER, TARGET_TOKENIZER),
    ),
}


def export_model(
    directory: Path | str, target: str, out: Path | str, quantization: Quantization = "float32"
) -> list[str]:
    """Write a model directory in the form of another program.

    Args:
        directory: What `shisen train --out` wrote.
        target: "ctranslate2", "onnx" or "hf".
        out: A new folder, which appears when it is whole.
        quantization: The format of the parameters: "float32", "float16", "bfloat16" or "int8", where the
            target has it.

    Returns:
        What the reader should know of the export, a sentence each; often nothing.

    Raises:
        UserError: The directory is damaged, the target cannot represent the model or the quantization, a
            package is missing, or `out` holds something already.
        RunError: It could not be written.
    """
    if target not in TARGETS:
        raise UserError(f"unknown target {target!r}; choose one of {', '.join(TARGETS)}")
    chosen, out = TARGETS[target], Path(out)
    if quantization not in chosen.quantizations:
        allowed = ", ".join(chosen.quantizations)
        raise UserError(f"{chosen.title} is written as {allowed} here, not as {quantization}")
    check_free(out)
    for package in chosen.packages:
        _require(package, target)
    loaded = load_model(directory)
    writer = importlib.import_module(chosen.module)
    _check_is_representable(directory, loaded, chosen, writer)
    with folder_written_aside(out) as folder:
        details = writer.write(loaded, folder, quantization)
        for name in chosen.copied:
            shutil.copyfile(Path(directory) / name, folder / name)
        notes = details.pop("notes", [])
        Manifest(target, quantization, loaded.fingerprint, __version__, loaded.config, details).write(folder)
    return notes


def _require(package: str, extra: str) -> None:
    try:
        importlib.import_module(package)
    except ImportError:
        raise UserError(f'exporting to {extra} needs an extra: pip install "shisen[{extra}]"') from None


def _check_is_representable(directory: Path | str, loaded: LoadedModel, target: Target, writer: Any) -> None:
    """Refuse a network that the target has no counterpart for, naming every part of it."""
    config: Any = loaded.model.config
    if config.family not in target.families:
        families = " or ".join(target.families)
        raise UserError(
            f"{directory} is a model of the family {config.family}; {target.title} takes: {families}"
        )
    reasons = writer.unsupported(config)
    if reasons:
        raise UserError(f"{directory} cannot be exported to {target.title}: {'; '.join(reasons)}")
