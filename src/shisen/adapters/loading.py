"""A transformers model from a directory or the Hub: safetensors alone, and never code from elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from shisen.errors import UserError

PREFIX = "hf:"
"""What stands before a path or an id where a model directory of shisen's own could stand too."""


def is_huggingface(name: str | Path) -> bool:
    """Whether a name is ``hf:PATH_OR_ID``."""
    return str(name).startswith(PREFIX)


def load_huggingface(path_or_id: str | Path, device: str = "cpu") -> tuple[Any, Any]:
    """The model, and its tokenizer, as `from_huggingface` takes them.

    The class of the network is the one that the configuration names (``architectures``), so that a model that
    translates can translate. Weights are read from safetensors alone, and code that comes with a model is
    never run.

    Args:
        path_or_id: A directory, or an id of the Hub such as ``openai-community/gpt2``, with ``hf:`` before it
            or not. A directory with a ``target_tokenizer`` in it, as `shisen export --to hf` writes, has two
            tokenizers.
        device: Where to compute: ``cpu``, ``cuda``, ``cuda:1``.

    Returns:
        The network, and its tokenizer; of images the image processor, of an image that becomes text both.

    Raises:
        UserError: The package transformers is missing, there is no such model, it has no safetensors weights,
            or it needs code of its own.
    """
    from shisen.devices import find_device

    name = str(path_or_id).removeprefix(PREFIX)
    if find_spec("transformers") is None:
        raise UserError(f"{name}: to open it, install transformers: pip install 'shisen[hf]'")
    if not name:
        raise UserError(
            f"{PREFIX} is followed by a directory or an id of the Hub, as {PREFIX}google-t5/t5-small"
        )
    looks_like_path = name.startswith((".", "/", "~")) or name.count("/") > 1
    if looks_like_path and not Path(name).expanduser().is_dir():
        raise UserError(f"{name}: there is no such directory")
    name = str(Path(name).expanduser()) if looks_like_path else name
    place = find_device(device)
    config = _told(name, lambda: _config(name))
    network = _told(name, lambda: _network(name, config))
    return network.to(place).eval(), _told(name, lambda: _tokenizer(name, config))


def _config(name: str) -> Any:
    import transformers

    return transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)


def _network(name: str, config: Any) -> Any:
    """The network in the class that its configuration names, or a plain one without an output layer."""
    import transformers
    from transformers.utils import logging

    named = (getattr(transformers, one, None) for one in config.architectures or ())
    models = (one for one in named if isinstance(one, type) and issubclass(one, transformers.PreTrainedModel))
    network_class: Any = next(models, transformers.AutoModel)
    options = {"trust_remote_code": False} if network_class is transformers.AutoModel else {}
    was_on = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        return network_class.from_pretrained(name, config=config, use_safetensors=True, **options)
    finally:
        if was_on:
            logging.enable_progress_bar()


def _tokenizer(name: str, config: Any) -> Any:
    """What turns a text or an image into what the network reads, and what it writes into text."""
    import transformers

    def tokenizer(**options: Any) -> Any:
        return transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=False, **options)

    def image_processor() -> Any:
        return transformers.AutoImageProcessor.from_pretrained(name, trust_remote_code=False)

    if getattr(config, "model_type", "") == "vision-encoder-decoder":
        return image_processor(), tokenizer()
    if hasattr(config, "image_size"):
        return image_processor()
    if (Path(name) / "target_tokenizer").is_dir():
        return tokenizer(), tokenizer(subfolder="target_tokenizer")
    return tokenizer()


def _told(name: str, load: Callable[[], Any]) -> Any:
    """What is loaded, or in one line what keeps it from being loaded."""
    from safetensors import SafetensorError

    try:
        return load()
    except SafetensorError as error:
        raise UserError(f"{name}: its weights are damaged: {error}") from None
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, TypeError) as error:
        message = " ".join(str(error).split())
    if "trust_remote_code" in message:
        raise UserError(f"{name}: this model needs Python code of its own, which is never run") from None
    if "no file named model.safetensors" in message or "have a file named" in message:
        raise UserError(
            f"{name}: has no weights as model.safetensors, the only form that is read, as others may hold "
            "code (save_pretrained of transformers writes it)"
        ) from None
    raise UserError(f"{name}: transformers cannot open it: {message[:300]}") from None
