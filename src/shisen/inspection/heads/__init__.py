"""The heads of a model, one by one: what each does, an example of it, and which do the same."""

from shisen.inspection.heads.gathering import HeadsGatherer
from shisen.inspection.heads.report import HeadsReport

__all__ = ["HeadsGatherer", "HeadsReport"]
