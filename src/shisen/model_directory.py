"""The model directory: a trained model with everything needed to use it, in files that hold no code.

::

    config.json             sizes and settings: shisen_version, model, data, training, the vocabulary sizes
    model.safetensors       the parameters
    source_tokenizer.json   text -> source ids
    target_tokenizer.json   target ids -> text
    generation_config.json  how to decode unless told otherwise
    README.md               the model card        } written by
    training_log.jsonl      the curves            } `shisen.training`
"""

import hashlib
import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from shisen import __version__
from shisen.errors import UserError
from shisen.files import write_atomically

CONFIG = "config.json"
PARAMETERS = "model.safetensors"
SOURCE_TOKENIZER = "source_tokenizer.json"
TARGET_TOKENIZER = "target_tokenizer.json"
GENERATION_CONFIG = "generation_config.json"

# What a translation of this model is made of; the other files may change without changing the model.
_FINGERPRINTED = (PARAMETERS, SOURCE_TOKENIZER, TARGET_TOKENIZER)


@dataclass(frozen=True)
class LoadedModel:
    """A model directory in memory.

    Attributes:
        model: The network, in evaluation mode.
        source_tokenizer: Text to source ids.
        target_tokenizer: Target ids to text.
        config: The content of ``config.json``.
        generation_config: How to decode unless told otherwise.
        fingerprint: 16 hexadecimal digits that change when parameters or tokenizers change.
    """

    model: nn.Module
    source_tokenizer: Any
    target_tokenizer: Any
    config: dict[str, Any]
    generation_config: dict[str, Any]
    fingerprint: str

    @property
    def is_language_model(self) -> bool:
        """Whether it goes on with one text, and does not translate."""
        from shisen.models import LanguageModel

        return isinstance(self.model, LanguageModel)


def save_model(
    directory: Path,
    model: nn.Module,
    source_tokenizer: Any,
    target_tokenizer: Any,
    config: Mapping[str, Any],
    generation_config: Mapping[str, Any],
) -> None:
    """Write a model directory; each file is written aside and then put in place.

    Args:
        directory: Where; made if it is not there.
        model: The network, of which the parameters are written.
        source_tokenizer: A `shisen.data.tokenizer.Tokenizer`.
        target_tokenizer: Another, or the same one when the vocabulary is joint.
        config: The sections ``model``, ``data`` and ``training`` of the configuration, as JSON values.
        generation_config: How to decode unless told otherwise.

    Raises:
        RunError: A file could not be written (a full disk).
    """
    directory.mkdir(parents=True, exist_ok=True)
    source_tokenizer.save(directory / SOURCE_TOKENIZER)
    target_tokenizer.save(directory / TARGET_TOKENIZER)
    write_json(directory / GENERATION_CONFIG, generation_config)
    sizes = {
        "source_vocabulary_size": len(source_tokenizer),
        "target_vocabulary_size": len(target_tokenizer),
    }
    write_json(directory / CONFIG, {"shisen_version": __version__, **config, **sizes})
    # The parameters come last: a directory that has them is whole.
    write_parameters(directory / PARAMETERS, model)


def load_model(directory: Path | str) -> LoadedModel:
    """Read a model directory; no code in it is run, and every file is checked.

    Args:
        directory: What `shisen train --out` wrote.

    Returns:
        The model on the CPU, in evaluation mode, and what belongs to it.

    Raises:
        UserError: The directory or a file in it is missing, truncated or of another kind.
    """
    # Imported here, so that a mistyped path is reported before PyTorch's slower parts are loaded.
    from shisen.data.tokenizer import Tokenizer
    from shisen.models import build_model

    directory = Path(directory)
    _check_is_whole(directory)
    config = read_json(directory / CONFIG)
    generation_config = read_json(directory / GENERATION_CONFIG)
    source_tokenizer = Tokenizer.load(directory / SOURCE_TOKENIZER)
    target_tokenizer = Tokenizer.load(directory / TARGET_TOKENIZER)
    for side, tokenizer in (("source", source_tokenizer), ("target", target_tokenizer)):
        expected = config.get(f"{side}_vocabulary_size")
        if not isinstance(expected, int):
            raise UserError(f"{directory / CONFIG} has no {side}_vocabulary_size: it is of another program")
        if len(tokenizer) != expected:
            raise UserError(
                f"{directory / f'{side}_tokenizer.json'} has {len(tokenizer)} entries, but {CONFIG} says "
                f"{expected}: the files are not of one model"
            )
    model = build_model(_model_config(directory, config), len(source_tokenizer), len(target_tokenizer))
    read_parameters(directory / PARAMETERS, model)
    return LoadedModel(
        model.eval(), source_tokenizer, target_tokenizer, config, generation_config, fingerprint(directory)
    )


def family_of(directory: Path) -> str | None:
    """The family of the network in a directory; None where nothing says it, and `load_model` says why."""
    try:
        family = read_json(directory / CONFIG)["model"]["family"]
    except (UserError, KeyError, TypeError):
        return None
    return family if isinstance(family, str) else None


def generation_setting(
    config: Mapping[str, Any], name: str, fallback: Any, kind: type[int] | type[float]
) -> Any:
    """Return a model's own setting of decoding, or `fallback` where it has none or null.

    Raises:
        UserError: It is no number of this kind.
    """
    value = config.get(name)
    if value is None:
        return fallback
    allowed = (int, float) if kind is float else (int,)
    if isinstance(value, bool) or not isinstance(value, allowed):
        raise UserError(f"{GENERATION_CONFIG}: {name} should be a number, and is {value!r}")
    return kind(value)


def fingerprint(directory: Path) -> str:
    """Return 16 hexadecimal digits that change when the parameters or the tokenizers change."""
    return fingerprint_of(directory, _FINGERPRINTED)


def fingerprint_of(directory: Path, names: Iterable[str]) -> str:
    """Return 16 hexadecimal digits that change when one of these files changes."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(hashlib.sha256((directory / name).read_bytes()).digest())
    return digest.hexdigest()[:16]


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a mapping as a JSON file for people and programs."""
    write_atomically(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def write_parameters(path: Path, model: nn.Module) -> None:
    """Write a network's parameters and buffers as safetensors; a tied matrix once."""
    from safetensors.torch import save

    names: dict[tuple[int, tuple[int, ...]], str] = {}
    tensors, tied = {}, {}
    for name, tensor in model.state_dict().items():
        identity = (tensor.data_ptr(), tuple(tensor.shape))
        if tensor.numel() and identity in names:
            tied[name] = names[identity]
        else:
            names[identity] = name
            tensors[name] = tensor.contiguous()
    # One entry of metadata, no more: the library would write several in an order that changes.
    write_atomically(path, save(tensors, metadata={"tied": json.dumps(tied)}))


def read_parameters(path: Path, model: nn.Module) -> None:
    """Fill a network with the parameters in a file of `write_parameters`.

    Raises:
        UserError: The file is missing, truncated, or of another network.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
            tied = json.loads((file.metadata() or {}).get("tied", "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read as safetensors ({error}): it is truncated or another kind of file"
        ) from error
    tensors |= {name: tensors[original] for name, original in tied.items() if original in tensors}
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise UserError(
                f"{path} does not fit {CONFIG}: {name} should be {_shape(expected.get(name))} "
                f"and is {_shape(found.get(name))}"
            )
    model.load_state_dict(tensors)


def _shape(shape: tuple[int, ...] | None) -> str:
    return "absent" if shape is None else str(list(shape))


def _check_is_whole(directory: Path) -> None:
    """Say what is missing, and what the user may have meant."""
    if not directory.is_dir():
        reason = "is not a directory" if directory.exists() else "does not exist"
        raise UserError(f"model directory {directory} {reason}")
    needed = (CONFIG, SOURCE_TOKENIZER, TARGET_TOKENIZER, GENERATION_CONFIG, PARAMETERS)
    missing = [name for name in needed if not (directory / name).is_file()]
    if not missing:
        return
    if (directory / "config.yaml").is_file():
        raise UserError(
            f"{directory} holds a training run that has not finished (no {missing[0]}); go on with: "
            f"shisen train --out {shlex.quote(str(directory))} --resume"
        )
    raise UserError(f"{directory} is not a model directory: it has no {', '.join(missing)}")


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Raises:
        UserError: It cannot be read, or holds something else.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:  # not JSON, or not UTF-8; or nested without end
        raise UserError(f"{path} is not valid JSON ({error}): it is truncated or another file") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} should hold a JSON object, and holds {type(value).__name__}")
    return value


def _model_config(directory: Path, config: dict[str, Any]) -> Any:
    from pydantic import ValidationError

    from shisen.models.config import parse_model_config

    try:
        return parse_model_config(config.get("model"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(["model", *map(str, first["loc"])])
        raise UserError(
            f"{directory / CONFIG}: {where}: {first['msg']} (written by shisen "
            f"{config.get('shisen_version', 'unknown')}, read by {__version__})"
        ) from error
