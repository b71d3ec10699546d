"""What computes translations: PyTorch with the networks of this package, or CTranslate2 with an export.

A `Translator` cuts text into ids and joins ids to text; an engine turns source ids into hypotheses.
"""

from shisen.engines.interface import Decoding, Engine
from shisen.engines.opening import ENGINES, open_engine

__all__ = ["ENGINES", "Decoding", "Engine", "open_engine"]
