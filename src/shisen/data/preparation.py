"""From a configuration to data that is ready for training: tokenizers, and tokenised corpora on disk."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from shisen.data.config import DataConfig, ParallelTextConfig
from shisen.data.corpus import TokenizedCorpus
from shisen.data.parallel_text import ReadingReport, Role, read_pairs, read_text
from shisen.data.tokenizer import Tokenizer

Progress = Callable[[str, int], None]
"""Told what is being done and how many pairs have been through."""

_SOURCE_TOKENIZER, _TARGET_TOKENIZER = "source_tokenizer.json", "target_tokenizer.json"
_EVERY = 8192
_Row = TypeVar("_Row")


@dataclass(frozen=True)
class PreparedData:
    """What training reads. ``reports`` says what was skipped on the way (empty when opened from disk).

    One text is the target of the corpora, and both tokenizers are the same.
    """

    source_tokenizer: Tokenizer
    target_tokenizer: Tokenizer
    train: TokenizedCorpus
    validation: TokenizedCorpus | None
    reports: dict[str, ReadingReport] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: str | Path) -> "PreparedData":
        """Open what :func:`prepare` left in a folder.

        Raises:
            UserError: if something is missing or damaged.
        """
        folder = Path(folder)
        return cls(
            Tokenizer.load(folder / _SOURCE_TOKENIZER),
            Tokenizer.load(folder / _TARGET_TOKENIZER),
            TokenizedCorpus.open(folder / "train"),
            TokenizedCorpus.open(folder / "validation") if (folder / "validation").exists() else None,
        )


def prepare(
    config: DataConfig, folder: str | Path, progress: Progress | None = None, is_one_text: bool = False
) -> PreparedData:
    """Learn the tokenizers from the training text and tokenise training and validation text into ``folder``.

    Validation pairs are never dropped for their length: a score is about all of them.

    Args:
        config: where the text is, and how it is cut.
        folder: where everything is written.
        progress: is told what is being done.
        is_one_text: whether the text is one, of a language model, and not pairs.

    Raises:
        UserError: for anything wrong with the text or the settings.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if config.validation is not None:
        # If it is not there, better known now than later.
        read_rows(config.validation, "validation", is_one_text=is_one_text)
    source_tokenizer, target_tokenizer = train_tokenizers(config, progress, is_one_text)
    source_tokenizer.save(folder / _SOURCE_TOKENIZER)
    target_tokenizer.save(folder / _TARGET_TOKENIZER)
    reports: dict[str, ReadingReport] = {}

    def tokenize(
        text: ParallelTextConfig, role: Role, max_length: int | None, ratio: float | None
    ) -> TokenizedCorpus:
        report = reports[role] = ReadingReport(unit="lines" if is_one_text else "pairs")
        return TokenizedCorpus.build(
            read_rows(text, role, config.skip_bad_lines, report, is_one_text),
            None if is_one_text else source_tokenizer,
            target_tokenizer,
            folder / role,
            max_length=max_length,
            max_length_ratio=ratio,
            progress=None
            if progress is None
            else lambda pairs: progress(f"tokenising the {role} text", pairs),
        )

    validation = None if config.validation is None else tokenize(config.validation, "validation", None, None)
    train = tokenize(config.train, "train", config.max_length, config.max_length_ratio)
    return PreparedData(source_tokenizer, target_tokenizer, train, validation, reports)


def read_rows(
    text: ParallelTextConfig,
    role: Role,
    skip_bad_lines: bool = False,
    report: ReadingReport | None = None,
    is_one_text: bool = False,
) -> Iterator[tuple[str, str]]:
    """Stream what `read_pairs` gives, or the lines that `read_text` gives as pairs whose source is empty."""
    if is_one_text:
        lines = read_text(text, role, skip_bad_lines, report)
        return (("", line) for line in lines)
    return read_pairs(text, role, skip_bad_lines, report)


def train_tokenizers(
    config: DataConfig, progress: Progress | None = None, is_one_text: bool = False
) -> tuple[Tokenizer, Tokenizer]:
    """Learn the tokenizers of source and target from the training text.

    With a joint vocabulary both are one, whose output is the target's language; of one text they are one too.
    """
    tokenizer = config.tokenizer
    if is_one_text:
        lines = read_text(config.train, "train", config.skip_bad_lines)
        only = Tokenizer.train(_told(lines, "vocabulary", progress), tokenizer, tokenizer.source_language)
        return only, only

    def texts(sides: tuple[int, ...], name: str) -> Iterator[str]:
        pairs = read_pairs(config.train, "train", config.skip_bad_lines)
        for pair in _told(pairs, f"{name} vocabulary", progress):
            for side in sides:
                yield pair[side]

    if tokenizer.joint:
        both = Tokenizer.train(texts((0, 1), "joint"), tokenizer, tokenizer.target_language)
        return both, both
    return (
        Tokenizer.train(texts((0,), "source"), tokenizer, tokenizer.source_language),
        Tokenizer.train(texts((1,), "target"), tokenizer, tokenizer.target_language),
    )


def _told(rows: Iterable[_Row], what: str, progress: Progress | None) -> Iterator[_Row]:
    """The rows, while the progress of learning from them is told."""
    for number, row in enumerate(rows):
        if progress is not None and number % _EVERY == 0:
            progress(f"learning the {what}", number)
        yield row
