"""From a configuration to data that is ready for training: tokenizers, and tokenised corpora on disk."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from shisen.data.config import DataConfig, ParallelTextConfig
from shisen.data.corpus import TokenizedCorpus
from shisen.data.parallel_text import ReadingReport, Role, read_pairs
from shisen.data.tokenizer import Tokenizer

Progress = Callable[[str, int], None]
"""Told what is being done and how many pairs have been through."""

_SOURCE_TOKENIZER, _TARGET_TOKENIZER = "source_tokenizer.json", "target_tokenizer.json"
_EVERY = 8192


@dataclass(frozen=True)
class PreparedData:
    """What training reads. ``reports`` says what was skipped on the way (empty when opened from disk)."""

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


def prepare(config: DataConfig, folder: str | Path, progress: Progress | None = None) -> PreparedData:
    """Learn the tokenizers from the training text and tokenise training and validation text into ``folder``.

    Validation pairs are never dropped for their length: a score is about all of them.

    Raises:
        UserError: for anything wrong with the text or the settings.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if config.validation is not None:
        read_pairs(config.validation, "validation")  # if it is not there, better known now than later
    source_tokenizer, target_tokenizer = train_tokenizers(config, progress)
    source_tokenizer.save(folder / _SOURCE_TOKENIZER)
    target_tokenizer.save(folder / _TARGET_TOKENIZER)
    reports: dict[str, ReadingReport] = {}

    def tokenize(
        text: ParallelTextConfig, role: Role, max_length: int | None, ratio: float | None
    ) -> TokenizedCorpus:
        report = reports[role] = ReadingReport()
        return TokenizedCorpus.build(
            read_pairs(text, role, config.skip_bad_lines, report),
            source_tokenizer,
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


def train_tokenizers(config: DataConfig, progress: Progress | None = None) -> tuple[Tokenizer, Tokenizer]:
    """Learn the tokenizers of source and target from the training text.

    With a joint vocabulary both are one, whose output is the target's language.
    """
    tokenizer = config.tokenizer

    def texts(sides: tuple[int, ...], name: str) -> Iterator[str]:
        for number, pair in enumerate(read_pairs(config.train, "train", config.skip_bad_lines)):
            if progress is not None and number % _EVERY == 0:
                progress(f"learning the {name} vocabulary", number)
            for side in sides:
                yield pair[side]

    if tokenizer.joint:
        both = Tokenizer.train(texts((0, 1), "joint"), tokenizer, tokenizer.target_language)
        return both, both
    return (
        Tokenizer.train(texts((0,), "source"), tokenizer, tokenizer.source_language),
        Tokenizer.train(texts((1,), "target"), tokenizer, tokenizer.target_language),
    )
