"""Is attention an explanation? Tests of whether the weights of a model say what decided its words.

Every test is of one *decision*: the next token given what was written before it. The explanation that is
tested is the decision's row of the cross-attention. `assess_faithfulness` runs them all; the parts can be
used by themselves. Unlike the rest of `shisen.inspection`, this package runs the model, with PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shisen.inspection.faithfulness.assessment import assess_decisions, assess_faithfulness
    from shisen.inspection.faithfulness.options import FaithfulnessOptions
    from shisen.inspection.faithfulness.planted import PlantedModel
    from shisen.inspection.faithfulness.report import FaithfulnessReport

_HOMES = {
    "FaithfulnessOptions": "options",
    "FaithfulnessReport": "report",
    "PlantedModel": "planted",
    "assess_decisions": "assessment",
    "assess_faithfulness": "assessment",
}

__all__ = [
    "FaithfulnessOptions",
    "FaithfulnessReport",
    "PlantedModel",
    "assess_decisions",
    "assess_faithfulness",
]


def __getattr__(name: str) -> Any:
    """Import a public name from where it lives, the first time it is asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'shisen.inspection.faithfulness' has no attribute {name!r}")
    return getattr(import_module(f"shisen.inspection.faithfulness.{_HOMES[name]}"), name)
