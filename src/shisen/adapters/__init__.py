"""Other people's attention as `AttentionMap`s: models of Hugging Face transformers, and plain arrays."""

from typing import TYPE_CHECKING, Any

from shisen.adapters.arrays import from_attentions

if TYPE_CHECKING:
    from shisen.adapters.huggingface import from_huggingface
    from shisen.adapters.loading import load_huggingface

__all__ = ["from_attentions", "from_huggingface", "load_huggingface"]


def __getattr__(name: str) -> Any:
    """What needs torch is loaded when it is first asked for."""
    if name == "from_huggingface":
        from shisen.adapters.huggingface import from_huggingface

        return from_huggingface
    if name == "load_huggingface":
        from shisen.adapters.loading import load_huggingface

        return load_huggingface
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
