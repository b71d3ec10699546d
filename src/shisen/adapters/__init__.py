"""Other people's attention as `AttentionMap`s: models of Hugging Face transformers, and plain arrays.

The names below are loaded when they are first used: some need torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shisen.adapters.arrays import from_attentions
    from shisen.adapters.huggingface import from_huggingface
    from shisen.adapters.loading import load_huggingface

_HOMES = {
    "from_attentions": "shisen.adapters.arrays",
    "from_huggingface": "shisen.adapters.huggingface",
    "load_huggingface": "shisen.adapters.loading",
}

__all__ = ["from_attentions", "from_huggingface", "load_huggingface"]


def __getattr__(name: str) -> Any:
    """Import a public name from where it lives, the first time it is asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'shisen.adapters' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
