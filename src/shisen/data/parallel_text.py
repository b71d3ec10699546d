"""Sentence pairs, or the lines of one text, from wherever they are: files, folders, the Hugging Face Hub.

They come as a stream. Whatever the form, a row is checked on its way (see :mod:`shisen.data.lines`), and
trouble is reported with file and line, or counted where bad lines are to be skipped.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from shisen.data.config import ParallelTextConfig
from shisen.data.lines import BadLine, read_lines
from shisen.data.text_forms import (
    Columns,
    DataSet,
    Form,
    JsonLines,
    OneFile,
    TabSeparated,
    TwoFiles,
    check_differ,
)
from shisen.errors import UserError

__all__ = ["ReadingReport", "Role", "read_lines", "read_pairs", "read_text"]

Role = Literal["train", "validation", "test"]

_SPLIT_NAMES = {"train": ("train",), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(?::[\w.-]+)?")
_FILE_SUFFIXES = (".tsv", ".jsonl", ".ndjson", ".gz", ".txt", ".csv", ".json", ".parquet")
_EXAMPLES = 5


@dataclass
class ReadingReport:
    """What came of reading: pairs (or lines of one text) that were good, and skipped ones, by reason."""

    pairs: int = 0
    unit: str = "pairs"
    """What is counted."""
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
        line = f"{self.pairs:,} {self.unit}"
        if self.skipped:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.skipped.items())
            line += f"; {self.skipped_total:,} bad lines skipped ({reasons}), the first: {self.examples[0]}"
        return line


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
    form = _form_of(config, role, (config.source_column, config.target_column))
    rows = _checked(form, role, skip_bad_lines, ReadingReport() if report is None else report)
    return ((source, target) for source, target in rows)


def read_text(
    config: ParallelTextConfig,
    role: Role = "train",
    skip_bad_lines: bool = False,
    report: ReadingReport | None = None,
) -> Iterator[str]:
    """Stream the lines of one text, as they are written there; empty ones are left out.

    The arguments and what is raised are those of `read_pairs`. What has columns gives its source column: of a
    TSV file the first, else the key ``text``, unless ``config.source_column`` says another.
    """
    form = _form_of(config, role, (config.source_column,))
    report = ReadingReport(unit="lines") if report is None else report
    return (line for (line,) in _checked(form, role, skip_bad_lines, report))


def _checked(
    form: Form, role: Role, skip_bad_lines: bool, report: ReadingReport
) -> Iterator[tuple[str, ...]]:
    hint = "" if role == "test" else " (--skip-bad-lines leaves such lines out)"
    for number, row in form.rows():
        try:
            sides = form.sides(row)
            empty = [not side or side.isspace() for side in sides]
            if empty == [True]:  # of one text: nothing is wrong with an empty line
                continue
            if any(empty):
                raise BadLine("empty side", f"the {('source', 'target')[empty.index(True)]} side is empty")
        except BadLine as problem:
            message = f"{problem.path or form.name}, line {number}: {problem.detail}"
            if not skip_bad_lines:
                raise UserError(message + hint) from None
            report.skip(problem.reason, message)
            continue
        report.pairs += 1
        yield sides
    if report.pairs == 0:
        raise UserError(
            f"{form.name}: no {'sentence pairs' if report.unit == 'pairs' else report.unit}"
            + (f" ({report.skipped_total:,} bad lines skipped)" if report.skipped else "; it is empty")
        )


# ---- which form is it?


def _form_of(config: ParallelTextConfig, role: Role, columns: Columns) -> Form:
    splits = (config.split,) if config.split is not None else _SPLIT_NAMES[role]
    if config.target is not None:
        return TwoFiles(_existing(config.source), _existing(config.target))
    path = Path(config.source)
    if path.is_dir():
        return _form_of_directory(path, columns, splits)
    if path.exists():
        if config.split is not None:
            raise UserError(f"{path}: is a file, which has no split {config.split}; leave split out")
        return _form_of_file(path, columns)
    if _HUB_ID.fullmatch(config.source) and not (path.parent.exists() or path.suffix in _FILE_SUFFIXES):
        return DataSet(config.source, splits, columns)
    return _form_of_file(_existing(config.source), columns)


def _existing(name: str) -> Path:
    path = Path(name)
    if not path.exists():
        raise UserError(f"{name}: no such file (looked from {Path.cwd()})")
    if path.is_dir():
        raise UserError(f"{name}: is a directory; source and target have to be two files")
    return path


def _form_of_file(path: Path, columns: Columns) -> Form:
    name = path.name.removesuffix(".gz")
    if name.endswith(".tsv"):
        return TabSeparated(path, columns)
    if name.endswith((".jsonl", ".ndjson")):
        return JsonLines(str(path), columns)
    if columns == (None,):
        return OneFile(path)
    if len(columns) == 1:
        raise UserError(f"{path}: holds lines, of which there is no column {columns[0]}; leave it out")
    raise UserError(
        f"{path}: holds one side only; name the other side's file as target. Both sides in one place are "
        "a .tsv or .jsonl file, a directory of splits or a Hub data set"
    )


def _form_of_directory(folder: Path, columns: Columns, splits: tuple[str, ...]) -> Form:
    for split in splits:
        for suffix in ("tsv", "jsonl", "ndjson"):
            if path := _plain_or_gzipped(folder, f"{split}.{suffix}"):
                return _form_of_file(path, columns)
        if form := _form_of_sides(folder, columns, split):
            return form
    if any(next(folder.rglob(f"*.{suffix}"), None) for suffix in ("parquet", "arrow", "csv", "jsonl")):
        return DataSet(str(folder), splits, columns)
    held = sorted(path.name for path in folder.iterdir())
    forms = f"{splits[0]}.txt, or another suffix given by source_column"
    if len(columns) == 2:
        forms = f"{splits[0]}.SOURCE and {splits[0]}.TARGET, SOURCE and TARGET given by source_column and "
        forms += "target_column"
    raise UserError(
        f"{folder}: no split {' or '.join(splits)} (as {splits[0]}.tsv, {splits[0]}.jsonl or {forms}); "
        f"it holds {', '.join(held[:8]) or 'nothing'}{' …' if len(held) > 8 else ''}"
    )


def _form_of_sides(folder: Path, columns: Columns, split: str) -> Form | None:
    """A split whose sides are files with suffixes of their own, ``train.en``; None: there is no such."""
    named = ("txt",) if columns == (None,) else columns
    if all(isinstance(column, str) for column in named):
        sides = [_plain_or_gzipped(folder, f"{split}.{column}") for column in named]
        if len(named) == 1 and sides[0]:
            return OneFile(sides[0])
        if len(named) == 2 and sides[0] and sides[1]:
            check_differ(str(folder), tuple(map(str, named)))
            return TwoFiles(sides[0], sides[1])
    if None not in columns or len(found := _suffixes_of(folder, split)) < 2:
        return None
    if len(columns) == 1:
        raise UserError(
            f"{folder}: {split} has the sides {', '.join(found)}; say which one by source_column or --column"
        )
    raise UserError(
        f"{folder}: {split} has the sides {', '.join(found)}; say which is which by source_column "
        f"and target_column (source_column: {found[0]}, target_column: {found[1]})"
    )


def _plain_or_gzipped(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _suffixes_of(folder: Path, split: str) -> list[str]:
    names = (path.name.removesuffix(".gz") for path in folder.iterdir())
    return sorted({name.removeprefix(f"{split}.") for name in names if name.startswith(f"{split}.")})
