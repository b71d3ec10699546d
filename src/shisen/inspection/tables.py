"""Tables, lists of rows with the same columns, as the files and objects that others read."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from shisen.files import write_atomically

if TYPE_CHECKING:
    from pandas import DataFrame

Rows = Sequence[Mapping[str, Any]]


def write_csv(rows: Rows, path: str | os.PathLike[str]) -> None:
    """Write a table as CSV (UTF-8, the names in the first line); what is undefined is left empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows[0] if rows else [])
    writer.writerows(["" if is_undefined(value) else value for value in row.values()] for row in rows)
    write_atomically(path, text.getvalue())


def to_pandas(rows: Rows) -> DataFrame:
    """The table as a data frame."""
    import pandas

    return pandas.DataFrame([dict(row) for row in rows])


def to_json(content: Any, path: str | os.PathLike[str] | None = None) -> str:
    """The content as JSON, also written where a path is given; what is undefined becomes ``null``."""
    text = json.dumps(_defined(content), ensure_ascii=False, allow_nan=False, indent=1) + "\n"
    if path is not None:
        write_atomically(path, text)
    return text


def is_undefined(value: Any) -> bool:
    """Whether a value is not a number, as the mean of nothing is."""
    return isinstance(value, float) and not math.isfinite(value)


def _defined(content: Any) -> Any:
    """The content with None in place of every number that JSON cannot hold."""
    if isinstance(content, Mapping):
        return {key: _defined(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_defined(value) for value in content]
    return None if is_undefined(content) else content
