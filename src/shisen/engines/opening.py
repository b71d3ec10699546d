"""Which engine runs what a directory holds."""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shisen.data.tokenizer import Tokenizer
from shisen.engines.ctranslate2_engine import CTranslate2Engine
from shisen.engines.interface import Engine
from shisen.errors import UserError
from shisen.export.manifest import Manifest, is_exported, read_manifest
from shisen.model_directory import (
    GENERATION_CONFIG,
    SOURCE_TOKENIZER,
    TARGET_TOKENIZER,
    LoadedModel,
    fingerprint_of,
    load_model,
    read_json,
)

ENGINES = ("torch", "ctranslate2")

_PARAMETERS = "model.bin"  # of CTranslate2


@dataclass(frozen=True)
class Opened:
    """An engine that has loaded a model, and what belongs to the model.

    Attributes:
        engine: What decodes.
        source_tokenizer: Text to source ids.
        target_tokenizer: Target ids to text.
        config: The content of the model's ``config.json``.
        generation_config: How to decode unless told otherwise.
        fingerprint: 16 hexadecimal digits that change when parameters or tokenizers change.
    """

    engine: Engine
    source_tokenizer: Any
    target_tokenizer: Any
    config: dict[str, Any]
    generation_config: dict[str, Any]
    fingerprint: str


def open_engine(directory: Path | str, engine: str | None = None, device: str = "cpu") -> Opened:
    """Load a model directory, or what `shisen export --to ctranslate2` made of one.

    Args:
        directory: Which.
        engine: "torch" or "ctranslate2"; None: the one that runs what the directory holds.
        device: Where to compute: ``"cpu"``, ``"cuda"``, ``"cuda:1"``.

    Raises:
        UserError: The directory is missing or damaged, the engine cannot run it, or there is no such device.
    """
    directory = Path(directory)
    if engine is not None and engine not in ENGINES:
        raise UserError(f"unknown engine {engine!r}; choose one of {', '.join(ENGINES)}")
    if not is_exported(directory):
        loaded = load_model(directory)
        if loaded.is_language_model:
            raise UserError(f"{directory}: a language model, which does not translate: use shisen generate")
        if engine == "ctranslate2":
            return _refuse_to_convert(directory)
        return with_torch(loaded, device)
    manifest = read_manifest(directory)
    if manifest.target != "ctranslate2":
        raise UserError(
            f"{directory} was exported to {manifest.target}, which shisen does not translate with; "
            "give the model directory, or an export to ctranslate2"
        )
    if engine == "torch":
        raise UserError(f"{directory} was exported to ctranslate2; the engine torch runs model directories")
    return _open_ctranslate2(directory, manifest, device)


def with_torch(loaded: LoadedModel, device: str = "cpu") -> Opened:
    """Put a model directory in memory on a device, for PyTorch to compute."""
    from shisen.engines.torch_engine import TorchEngine

    return Opened(
        TorchEngine(loaded.model, device),
        loaded.source_tokenizer,
        loaded.target_tokenizer,
        loaded.config,
        loaded.generation_config,
        loaded.fingerprint,
    )


def _refuse_to_convert(directory: Path) -> Opened:
    """An export takes time and a place of its own: it is asked for, not made on the way."""
    source = shlex.quote(str(directory))
    out = shlex.quote(f"{str(directory).rstrip('/')}-ctranslate2")
    raise UserError(
        f"{directory} is a model directory; the engine ctranslate2 runs what this makes of it: "
        f"shisen export {source} --to ctranslate2 --out {out}"
    )


def _open_ctranslate2(directory: Path, manifest: Manifest, device: str) -> Opened:
    generation_config = read_json(directory / GENERATION_CONFIG)
    source = Tokenizer.load(directory / SOURCE_TOKENIZER)
    target = Tokenizer.load(directory / TARGET_TOKENIZER)
    if not (directory / _PARAMETERS).is_file():
        raise UserError(f"{directory} is not a whole export: it has no {_PARAMETERS}; export the model again")
    _check_vocabulary(directory, "source", source)
    _check_vocabulary(directory, "target", target)
    return Opened(
        CTranslate2Engine(directory, manifest, source, target, device),
        source,
        target,
        manifest.config,
        generation_config,
        fingerprint_of(directory, (_PARAMETERS, SOURCE_TOKENIZER, TARGET_TOKENIZER)),
    )


def _check_vocabulary(directory: Path, side: str, tokenizer: Tokenizer) -> None:
    """Refuse a tokenizer of another model: tokens go to the engine and come back by their names."""
    own = directory / f"{side}_vocabulary.json"
    path = own if own.is_file() else directory / "shared_vocabulary.json"  # written where both are the same
    try:
        tokens = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({error}): export the model again") from error
    if tokens != tokenizer.tokens(range(len(tokenizer))):
        raise UserError(
            f"{directory}: {side}_tokenizer.json and {path.name} hold other tokens: the files are not of one "
            "model; export it again"
        )
