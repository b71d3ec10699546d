"""Sentence pairs from wherever they are: files, folders, data sets of the Hugging Face Hub; as a stream.

Whatever the form, a pair is checked on its way (see :mod:`shisen.data.lines`), and trouble is reported with
file and line, or counted where bad lines are to be skipped.
"""

import json
import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from shisen.data.config import ParallelTextConfig
from shisen.data.lines import BadLine, check_characters, decode, raw_lines, read_lines
from shisen.errors import UserError

__all__ = ["ReadingReport", "Role", "read_lines", "read_pairs"]

Role = Literal["train", "validation", "test"]
Column = str | int

_SPLIT_NAMES = {"train": ("train",), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(?::[\w.-]+)?")
_FILE_SUFFIXES = (".tsv", ".jsonl", ".ndjson", ".gz", ".txt", ".csv", ".json", ".parquet")
_EXAMPLES = 5


@dataclass
class ReadingReport:
    """What came of reading: pairs that were good, and lines that were skipped, by reason."""

    pairs: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)
    """The first few skipped lines: where, and what is wrong with them."""

    def skip(self, reason: str, message: str) -> None:
        """Count one skipped line."""
        self.skipped[reason] = self.skipped.get(reason, 0) + 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(message)

    @property
    def skipped_total(self) -> int:
        """How many lines were skipped in all."""
        return sum(self.skipped.values())

    def describe(self) -> str:
        """One line: ``1,200 pairs; 3 bad lines skipped (2 empty side, 1 not UTF-8), the first: …``."""
        line = f"{self.pairs:,} pairs"
        if self.skipped:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.skipped.items())
            line += f"; {self.skipped_total:,} bad lines skipped ({reasons}), the first: {self.examples[0]}"
        return line


@runtime_checkable
class _Form(Protocol):
    """One way in which pairs are kept: raw rows in order, and how one becomes a pair (or raises BadLine)."""

    name: str

    def rows(self) -> Iterator[tuple[int, Any]]: ...

    def pair(self, row: Any) -> tuple[str, str]: ...


def read_pairs(
    config: ParallelTextConfig,
    role: Role = "train",
    skip_bad_lines: bool = False,
    report: ReadingReport | None = None,
) -> Iterator[tuple[str, str]]:
    """Stream the sentence pairs of a text: (source, target), as they are written there.

    Args:
        config: where the text is.
        role: which split of a directory or Hub data set is meant where ``config.split`` does not say.
        skip_bad_lines: count bad lines in ``report`` and go on, rather than stop at the first.
        report: is filled while the pairs are read.

    Raises:
        UserError: at once, if what ``config`` names is not there; while reading, at the first bad line
            (unless skipped), for unequal numbers of lines, and if there is no pair at all.
    """
    form = _form_of(config, role)
    hint = "" if role == "test" else " (--skip-bad-lines leaves such lines out)"
    return _checked(form, hint, skip_bad_lines, ReadingReport() if report is None else report)


def _checked(
    form: _Form, hint: str, skip_bad_lines: bool, report: ReadingReport
) -> Iterator[tuple[str, str]]:
    for number, row in form.rows():
        try:
            source, target = form.pair(row)
            if not source or source.isspace():
                raise BadLine("empty side", "the source side is empty")
            if not target or target.isspace():
                raise BadLine("empty side", "the target side is empty")
        except BadLine as problem:
            message = f"{problem.path or form.name}, line {number}: {problem.detail}"
            if not skip_bad_lines:
                raise UserError(message + hint) from None
            report.skip(problem.reason, message)
            continue
        report.pairs += 1
        yield source, target
    if report.pairs == 0:
        raise UserError(
            f"{form.name}: no sentence pairs"
            + (f" ({report.skipped_total:,} bad lines skipped)" if report.skipped else "; it is empty")
        )


# ---- which form is it?


def _form_of(config: ParallelTextConfig, role: Role) -> _Form:
    splits = (config.split,) if config.split is not None else _SPLIT_NAMES[role]
    if config.target is not None:
        return _TwoFiles(_existing(config.source), _existing(config.target))
    path = Path(config.source)
    if path.is_dir():
        return _form_of_directory(path, config, splits)
    if path.exists():
        return _form_of_file(path, config.source_column, config.target_column)
    if _HUB_ID.fullmatch(config.source) and not (path.parent.exists() or path.suffix in _FILE_SUFFIXES):
        return _DataSet(config.source, splits, config.source_column, config.target_column)
    return _form_of_file(_existing(config.source), config.source_column, config.target_column)


def _existing(name: str) -> Path:
    path = Path(name)
    if not path.exists():
        raise UserError(f"{name}: no such file (looked from {Path.cwd()})")
    if path.is_dir():
        raise UserError(f"{name}: is a directory; source and target have to be two files")
    return path


def _form_of_file(path: Path, source_column: Column | None, target_column: Column | None) -> _Form:
    name = path.name.removesuffix(".gz")
    if name.endswith(".tsv"):
        return _TabSeparated(path, source_column, target_column)
    if name.endswith((".jsonl", ".ndjson")):
        return _JsonLines(path, source_column, target_column)
    raise UserError(
        f"{path}: holds one side only; name the other side's file as target. Both sides in one place are "
        "a .tsv or .jsonl file, a directory of splits or a Hub data set"
    )


def _form_of_directory(folder: Path, config: ParallelTextConfig, splits: tuple[str, ...]) -> _Form:
    columns = (config.source_column, config.target_column)
    for split in splits:
        for suffix in ("tsv", "jsonl", "ndjson"):
            if path := _plain_or_gzipped(folder, f"{split}.{suffix}"):
                return _form_of_file(path, *columns)
        if all(isinstance(column, str) for column in columns):
            sides = [_plain_or_gzipped(folder, f"{split}.{column}") for column in columns]
            if sides[0] and sides[1]:
                _check_differ(str(folder), str(columns[0]), str(columns[1]))
                return _TwoFiles(sides[0], sides[1])
        elif len(found := _suffixes_of(folder, split)) > 1:
            raise UserError(
                f"{folder}: {split} has the sides {', '.join(found)}; say which is which by source_column "
                f"and target_column (source_column: {found[0]}, target_column: {found[1]})"
            )
    if any(next(folder.rglob(f"*.{suffix}"), None) for suffix in ("parquet", "arrow", "csv", "jsonl")):
        return _DataSet(str(folder), splits, *columns)
    held = sorted(path.name for path in folder.iterdir())
    raise UserError(
        f"{folder}: no split {' or '.join(splits)} (as {splits[0]}.tsv, {splits[0]}.jsonl or "
        f"{splits[0]}.SOURCE and {splits[0]}.TARGET, SOURCE and TARGET given by source_column and "
        f"target_column); it holds {', '.join(held[:8]) or 'nothing'}{' …' if len(held) > 8 else ''}"
    )


def _plain_or_gzipped(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _suffixes_of(folder: Path, split: str) -> list[str]:
    names = (path.name.removesuffix(".gz") for path in folder.iterdir())
    return sorted({name.removeprefix(f"{split}.") for name in names if name.startswith(f"{split}.")})


def _check_differ(name: str, source: Column, target: Column) -> None:
    """Refuse one column for both sides, from which a model would learn to copy."""
    if source == target:
        raise UserError(
            f"{name}: source and target are both column {source}; "
            "give two different ones by source_column and target_column"
        )


# ---- the forms


class _TwoFiles:
    """Two files, line by line translations of each other."""

    def __init__(self, source: Path, target: Path) -> None:
        self.source = str(source)
        self.target = str(target)
        self.name = f"{source} and {target}"

    def rows(self) -> Iterator[tuple[int, tuple[bytes, bytes]]]:
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

    def pair(self, row: tuple[bytes, bytes]) -> tuple[str, str]:
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


class _TabSeparated:
    """A .tsv file: columns split by tabs, nothing quoted; a header line where columns are given by name."""

    def __init__(self, path: Path, source_column: Column | None, target_column: Column | None) -> None:
        self.name = str(path)
        self.columns: tuple[Column, Column] = (
            1 if source_column is None else source_column,
            2 if target_column is None else target_column,
        )
        self.places = (0, 1)

    def rows(self) -> Iterator[tuple[int, bytes]]:
        lines = enumerate(raw_lines(self.name), start=1)
        if any(isinstance(column, str) and not column.isdecimal() for column in self.columns):
            self.places = self._places_by_name(next(lines, (1, b""))[1])
        else:
            self.places = (int(self.columns[0]) - 1, int(self.columns[1]) - 1)
            if min(self.places) < 0:
                raise UserError(f"{self.name}: columns are numbered from 1, got {min(self.places) + 1}")
            _check_differ(self.name, int(self.columns[0]), int(self.columns[1]))
        yield from lines

    def _places_by_name(self, line: bytes) -> tuple[int, int]:
        try:
            header = decode(line).split("\t")
        except BadLine as problem:
            raise UserError(f"{self.name}, line 1: {problem.detail}") from None
        for column in self.columns:
            if column not in header:
                raise UserError(
                    f"{self.name}, line 1: no column named {column}; the header has {', '.join(header)[:200]}"
                )
        _check_differ(self.name, *self.columns)
        return header.index(str(self.columns[0])), header.index(str(self.columns[1]))

    def pair(self, row: bytes) -> tuple[str, str]:
        fields = decode(row).split("\t")
        wanted = max(self.places) + 1
        if len(fields) < wanted:
            found = f"{len(fields)} column" + "s" * (len(fields) > 1)
            raise BadLine("too few columns", f"{found}, at least {wanted} expected (split by tabs)")
        return fields[self.places[0]], fields[self.places[1]]


class _Keyed:
    """Rows that are mappings: the sides under their keys, or under them in an entry ``translation``."""

    def __init__(self, name: str, source_column: Column | None, target_column: Column | None) -> None:
        self.name = name
        self.columns = (
            "source" if source_column is None else str(source_column),
            "target" if target_column is None else str(target_column),
        )
        _check_differ(name, *self.columns)

    def sides(self, row: Any) -> tuple[str, str]:
        if not isinstance(row, dict):
            raise BadLine("not an object", "expected a JSON object with the two sides")
        return self._side(row, self.columns[0]), self._side(row, self.columns[1])

    @staticmethod
    def _side(row: dict[str, Any], key: str) -> str:
        if key not in row and isinstance(row.get("translation"), dict):
            row = row["translation"]
        if key not in row:
            raise BadLine("missing key", f"no key {key!r}; there are {', '.join(map(repr, row)) or 'none'}")
        if not isinstance(row[key], str):
            raise BadLine("not text", f"{key!r} is not a string but {type(row[key]).__name__}")
        return check_characters(row[key])


class _JsonLines(_Keyed):
    """A .jsonl file: one JSON object a line."""

    def __init__(self, path: Path, source_column: Column | None, target_column: Column | None) -> None:
        super().__init__(str(path), source_column, target_column)

    def rows(self) -> Iterator[tuple[int, bytes]]:
        return enumerate(raw_lines(self.name), start=1)

    def pair(self, row: bytes) -> tuple[str, str]:
        text = decode(row)
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadLine("not JSON", f"not JSON ({error})") from None
        return self.sides(value)


class _DataSet(_Keyed):
    """A data set of the Hub, or a folder laid out like one, streamed by the library ``datasets``.

    Only data is read: the library's versions that we ask for run no code of a data set.
    """

    def __init__(
        self,
        place: str,
        splits: tuple[str, ...],
        source_column: Column | None,
        target_column: Column | None,
    ) -> None:
        super().__init__(place, source_column, target_column)
        self.path, _, configuration = (place, "", "") if Path(place).is_dir() else place.partition(":")
        self.configuration = configuration or None
        self.wanted = splits

    def rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
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

    def pair(self, row: dict[str, Any]) -> tuple[str, str]:
        return self.sides(row)
