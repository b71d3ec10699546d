"""shisen (視線, "line of sight"): attention in sequence models, trained, seen, measured and questioned.

The names below are loaded when they are first used, so that ``import shisen`` stays fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from shisen.errors import UserError
    from shisen.generation import Generation, TextGenerator
    from shisen.inspection.attention_map import AttentionMap
    from shisen.pipelines import Translator
    from shisen.translation import Translation

_HOMES = {
    "AttentionMap": "shisen.inspection.attention_map",
    "Generation": "shisen.generation",
    "TextGenerator": "shisen.generation",
    "Translation": "shisen.translation",
    "Translator": "shisen.pipelines",
    "UserError": "shisen.errors",
}

__all__ = [
    "AttentionMap",
    "Generation",
    "TextGenerator",
    "Translation",
    "Translator",
    "UserError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Import a public name from where it lives, the first time it is asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'shisen' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
