"""The data of a run: what `shisen.data` prepares, kept while the run lasts, and a sample for BLEU."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shisen.data.config import DataConfig
from shisen.data.corpus import TokenizedCorpus
from shisen.data.preparation import PreparedData, prepare, read_rows
from shisen.data.tokenizer import Tokenizer
from shisen.errors import RunError
from shisen.model_directory import write_json
from shisen.training.validation import LONGEST_TRANSLATED

_READING = "reading.json"


@dataclass(frozen=True)
class TrainingData:
    """What a run learns from and is measured on.

    Attributes:
        source_tokenizer: Text to source ids.
        target_tokenizer: Target ids to text.
        train: The pairs to learn from.
        validation: The pairs to measure on, or None.
        sample: Of them, sentences and references as they were written, for BLEU; none too long to translate.
            Of one text: nothing, and the line.
        reading: For each role (``train``, ``validation``) what came of reading, in words.
        skipped: Lines that could not be used.
    """

    source_tokenizer: Tokenizer
    target_tokenizer: Tokenizer
    train: TokenizedCorpus
    validation: TokenizedCorpus | None
    sample: list[tuple[str, str]]
    reading: dict[str, str]
    skipped: int


def load_data(
    config: DataConfig,
    folder: Path,
    sample_size: int,
    progress: Callable[[str], None],
    is_one_text: bool = False,
) -> TrainingData:
    """Prepare the data in a folder, or open what was prepared there before.

    Args:
        config: Where the text is, and how it is cut.
        folder: Where tokenizers and token ids are kept.
        sample_size: Validation pairs to translate for BLEU.
        progress: Is told what is being done.
        is_one_text: Whether the text is one, of a language model, and not pairs.

    Raises:
        UserError: Anything is wrong with the text or the settings.
        RunError: The folder cannot be written (a full disk).
    """
    marker = folder / _READING  # written last: the folder is whole where it is
    if marker.is_file():
        prepared = PreparedData.open(folder)
    else:
        try:
            unit = "lines" if is_one_text else "pairs"
            prepared = prepare(
                config, folder, lambda what, rows: progress(f"{what}: {rows:,} {unit}"), is_one_text
            )
        except OSError as error:  # of writing: what is read is reported by its reader
            raise RunError(f"{folder}: the tokenised text could not be written: {error.strerror}") from error
        reports = prepared.reports.items()
        reading = {role: report.describe() for role, report in reports}
        skipped = sum(report.skipped_total for _, report in reports)
        write_json(marker, {"reading": reading, "skipped": skipped})
    notes = json.loads(marker.read_text("utf-8"))
    return TrainingData(
        prepared.source_tokenizer,
        prepared.target_tokenizer,
        prepared.train,
        prepared.validation,
        _sample(config, prepared, sample_size, is_one_text),
        notes["reading"],
        notes["skipped"],
    )


def _sample(
    config: DataConfig, prepared: PreparedData, size: int, is_one_text: bool
) -> list[tuple[str, str]]:
    """Take pairs at even distances, so that a file in some order is represented as a whole."""
    validation = prepared.validation
    if config.validation is None or validation is None or size == 0:
        return []
    count = len(validation) + sum(validation.dropped.values())
    size = min(size, count)
    wanted = {index * count // size for index in range(size)}
    pairs = read_rows(config.validation, "validation", config.skip_bad_lines, is_one_text=is_one_text)
    sample = [pair for index, pair in enumerate(pairs) if index in wanted]
    encoded = prepared.source_tokenizer.encode_batch([source for source, _ in sample])
    # One sentence of many thousand words would take longer than all others together.
    return [pair for pair, ids in zip(sample, encoded, strict=True) if len(ids) <= LONGEST_TRANSLATED]
