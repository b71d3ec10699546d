"""The forms in which text is kept: one file, two files, TSV, JSON Lines, data sets of the Hugging Face Hub.

A form gives raw rows in order and makes of each its *sides*: of parallel text the source and the target, of
one text the line.
"""

import json
import logging
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from shisen.data.lines import BadLine, check_characters, decode, raw_lines
from shisen.errors import UserError

Column = str | int
Columns = tuple[Column | None, ...]
"""Where each side is; None: in the usual place."""


@runtime_checkable
class Form(Protocol):
    """One way in which text is kept: raw rows in order, and how one becomes its sides (or raises BadLine)."""

    name: str

    def rows(self) -> Iterator[tuple[int, Any]]:
        """The rows by the numbers that messages name."""

    def sides(self, row: Any) -> tuple[str, ...]:
        """The sides of a row."""


def check_differ(name: str, columns: tuple[Column, ...]) -> None:
    """Refuse one column for both sides, from which a model would learn to copy."""
    if len(set(columns)) < len(columns):
        raise UserError(
            f"{name}: source and target are both column {columns[0]}; "
            "give two different ones by source_column and target_column"
        )


class OneFile:
    """A file of one text, a line a row."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)

    def rows(self) -> Iterator[tuple[int, bytes]]:
        """The raw lines by their numbers."""
        return enumerate(raw_lines(self.name), start=1)

    def sides(self, row: bytes) -> tuple[str, ...]:
        """The line as text."""
        return (decode(row),)


class TwoFiles:
    """Two files, line by line translations of each other."""

    def __init__(self, source: Path, target: Path) -> None:
        self.source = str(source)
        self.target = str(target)
        self.name = f"{source} and {target}"

    def rows(self) -> Iterator[tuple[int, tuple[bytes, bytes]]]:
        """The raw lines of both by their numbers."""
        sources, targets = raw_lines(self.source), raw_lines(self.target)
        for number, (source, target) in enumerate(zip_longest(sources, targets), start=1):
            if source is None or target is None:
                shorter = number - 1
                longer = number + sum(1 for _ in (targets if source is None else sources))
                counts = (shorter, longer) if source is None else (longer, shorter)
                raise UserError(
                    f"unequal numbers of lines: {self.source} has {counts[0]:,}, "
                    f"{self.target} has {counts[1]:,}"
                )
            yield number, (source, target)

    def sides(self, row: tuple[bytes, bytes]) -> tuple[str, ...]:
        """Both lines as text."""
        return self._side(row[0], self.source), self._side(row[1], self.target)

    @staticmethod
    def _side(line: bytes, path: str) -> str:
        try:
            text = decode(line)
        except BadLine as problem:
            problem.path = path
            raise
        if not text or text.isspace():
            raise BadLine("empty side", "empty", path)
        return text


class TabSeparated:
    """A .tsv file: columns split by tabs, nothing quoted; a header line where columns are given by name."""

    def __init__(self, path: Path, columns: Columns) -> None:
        self.name = str(path)
        self.columns: tuple[Column, ...] = tuple(
            number if column is None else column for number, column in enumerate(columns, start=1)
        )
        self.places = tuple(range(len(columns)))

    def rows(self) -> Iterator[tuple[int, bytes]]:
        """The raw lines by their numbers."""
        lines = enumerate(raw_lines(self.name), start=1)
        if any(isinstance(column, str) and not column.isdecimal() for column in self.columns):
            self.places = self._places_by_name(next(lines, (1, b""))[1])
        else:
            self.places = tuple(int(column) - 1 for column in self.columns)
            if min(self.places) < 0:
                raise UserError(f"{self.name}: columns are numbered from 1, got {min(self.places) + 1}")
            check_differ(self.name, tuple(map(int, self.columns)))
        yield from lines

    def _places_by_name(self, line: bytes) -> tuple[int, ...]:
        try:
            header = decode(line).split("\t")
        except BadLine as problem:
            raise UserError(f"{self.name}, line 1: {problem.detail}") from None
        for column in self.columns:
            if column not in header:
                raise UserError(
                    f"{self.name}, line 1: no column named {column}; the header has {', '.join(header)[:200]}"
                )
        check_differ(self.name, self.columns)
        return tuple(header.index(str(column)) for column in self.columns)

    def sides(self, row: bytes) -> tuple[str, ...]:
        """The columns of a line as text."""
        fields = decode(row).split("\t")
        wanted = max(self.places) + 1
        if len(fields) < wanted:
            found = f"{len(fields)} column" + "s" * (len(fields) > 1)
            raise BadLine("too few columns", f"{found}, at least {wanted} expected (split by tabs)")
        return tuple(fields[place] for place in self.places)


class _Keyed:
    """Rows that are mappings: the sides under their keys, or under them in an entry ``translation``."""

    def __init__(self, name: str, columns: Columns) -> None:
        self.name = name
        usual = ("source", "target") if len(columns) == 2 else ("text",)
        self.columns = tuple(
            key if column is None else str(column) for key, column in zip(usual, columns, strict=True)
        )
        check_differ(name, self.columns)

    def _sides(self, row: Any) -> tuple[str, ...]:
        if not isinstance(row, dict):
            what = "the two sides" if len(self.columns) == 2 else "the text"
            raise BadLine("not an object", f"expected a JSON object with {what}")
        return tuple(self._side(row, column) for column in self.columns)

    @staticmethod
    def _side(row: dict[str, Any], key: str) -> str:
        if key not in row and isinstance(row.get("translation"), dict):
            row = row["translation"]
        if key not in row:
            raise BadLine("missing key", f"no key {key!r}; there are {', '.join(map(repr, row)) or 'none'}")
        if not isinstance(row[key], str):
            raise BadLine("not text", f"{key!r} is not a string but {type(row[key]).__name__}")
        return check_characters(row[key])


class JsonLines(_Keyed):
    """A .jsonl file: one JSON object a line."""

    def rows(self) -> Iterator[tuple[int, bytes]]:
        """The raw lines by their numbers."""
        return enumerate(raw_lines(self.name), start=1)

    def sides(self, row: bytes) -> tuple[str, ...]:
        """The entries of a line's object."""
        text = decode(row)
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadLine("not JSON", f"not JSON ({error})") from None
        return self._sides(value)


class DataSet(_Keyed):
    """A data set of the Hub, or a folder laid out like one, streamed by the library ``datasets``.

    Only data is read: the library's versions that we ask for run no code of a data set.
    """

    def __init__(self, place: str, splits: tuple[str, ...], columns: Columns) -> None:
        super().__init__(place, columns)
        self.path, _, configuration = (place, "", "") if Path(place).is_dir() else place.partition(":")
        self.configuration = configuration or None
        self.wanted = splits

    def rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The rows by their numbers."""
        import datasets

        split = self._split(self._ask(datasets.get_dataset_split_names, self.path, self.configuration))
        rows = self._ask(datasets.load_dataset, self.path, self.configuration, split=split, streaming=True)
        return enumerate(self._stream(rows), start=1)

    def _stream(self, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The rows, of which any may be the one at which a file turns out to be damaged."""
        iterator = iter(rows)
        while (row := self._ask(next, iterator, None)) is not None:
            yield row

    def _ask(self, function: Any, *arguments: Any, **options: Any) -> Any:
        """Call the library; whatever it raises (it raises many kinds) becomes one line."""
        logs = [logging.getLogger(name) for name in ("huggingface_hub", "datasets")]
        levels = [log.level for log in logs]
        for log in logs:
            log.setLevel(logging.CRITICAL)  # each attempt to reach the Hub is a line otherwise
        try:
            return function(*arguments, **options)
        except Exception as caught:
            error: BaseException = caught
            is_folder = Path(self.path).is_dir()
            while is_folder and error.__cause__ is not None:  # what the file system or Arrow said
                error = error.__cause__
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            what = "cannot be read" if is_folder else "no such file or directory, nor a Hub data set"
            raise UserError(f"{self.name}: {what} ({reason})") from None
        finally:
            for log, level in zip(logs, levels, strict=True):
                log.setLevel(level)

    def _split(self, available: list[str]) -> str:
        for split in self.wanted:
            if split in available:
                return split
        raise UserError(f"{self.name}: no split {' or '.join(self.wanted)}; it has {', '.join(available)}")

    def sides(self, row: dict[str, Any]) -> tuple[str, ...]:
        """The entries of a row."""
        return self._sides(row)
