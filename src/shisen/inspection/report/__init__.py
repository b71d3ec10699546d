"""What the attention of a model does over a corpus, as one page to read and one file of numbers.

`gathering` takes in map after map and keeps what is small; `contents` holds the numbers and writes both
files; `guide` and `extremes` choose the sentences that are shown, `page` makes the HTML. Nothing here runs a
model: maps come in.
"""

from shisen.inspection.report.contents import AttentionReport
from shisen.inspection.report.gathering import ReportGatherer

__all__ = ["AttentionReport", "ReportGatherer"]
