"""``shisen evaluate``: how good a model's translations of a test set are."""

import json
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from shisen.errors import UserError

if TYPE_CHECKING:
    from shisen.evaluation.scores import Score
    from shisen.evaluation.system import Evaluation


def evaluate(
    model: Path = typer.Argument(..., metavar="MODEL_DIR", help="The directory that `shisen train` wrote."),
    data: str = typer.Option(
        ...,
        help="The test set: a TSV or JSONL file (.gz too), a directory of splits, a Hub id; or, with "
        "--reference, a file of source sentences.",
    ),
    reference: Path | None = typer.Option(None, help="A file of reference translations, line by line."),
    split: str | None = typer.Option(None, help="Which split of a directory or Hub data set."),
    source_column: str | None = typer.Option(None, help="Where --data holds both sides: that of the source."),
    target_column: str | None = typer.Option(None, help="The same for the target."),
    align_gold: Path | None = typer.Option(
        None,
        help="Gold alignments in Pharaoh format (0-0 1p2), for the alignment error rate of the attention.",
    ),
    one_based: bool = typer.Option(False, "--one-based", help="The gold alignments count words from 1."),
    threshold: float | None = typer.Option(
        None,
        min=0.0,
        max=1.0,
        help="Align all words with at least this attention, not each target word with one source word.",
    ),
    beam_size: int | None = typer.Option(
        None, min=1, help="Hypotheses kept by beam search; 1 is greedy; default: the model's."
    ),
    length_penalty: float | None = typer.Option(None, min=0.0, help="Of beam search; default: the model's."),
    batch_size: int = typer.Option(100, min=1, help="Sentences decoded together."),
    tokenize: str | None = typer.Option(
        None, help="BLEU's tokenisation: none, 13a, intl, char, ja-mecab, zh …; default: chosen, and said."
    ),
    lowercase: bool = typer.Option(False, "--lowercase", help="BLEU and chrF ignore case."),
    bootstrap: int = typer.Option(1000, min=0, help="Test sets drawn for the 95 % intervals; 0: none."),
    seed: int = typer.Option(12345, min=0, help="Of that drawing."),
    out: Path | None = typer.Option(None, help="Write everything measured to this JSON file."),
    hypotheses: Path | None = typer.Option(None, help="Write the translations to this file, one a line."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of the table."),
) -> None:
    """Score a model on a test set: BLEU, chrF, TER, perplexity, length, and the error of its alignments.

    Perplexity and alignments come from reading the references (forced decoding), the rest from translating.
    """
    for file in (out, hypotheses):
        check_can_write(file)
    pairs = read_test_set(data, reference, split, source_column, target_column)
    from shisen.data.alignments import read_alignments
    from shisen.evaluation.system import check_gold, evaluate_system
    from shisen.pipelines import Translator

    gold = None
    if align_gold is not None:
        gold = read_alignments(align_gold, one_based)
        check_gold(gold, pairs, str(align_gold))
    translator = Translator.load(model)
    tokenize = tokenize or say_tokenization([translator], pairs)
    decoding = decoding_options(beam_size, length_penalty)
    with progress(2 * len(pairs), "evaluating") as advance:
        evaluation = evaluate_system(
            translator,
            pairs,
            gold,
            tokenize=tokenize,
            lowercase=lowercase,
            batch_size=batch_size,
            samples=bootstrap,
            seed=seed,
            threshold=threshold,
            decoding=decoding,
            gold_name=str(align_gold),
            on_progress=advance,
        )
    report = {"model": str(model), "data": describe(data, reference), "command": command()}
    report |= evaluation.as_dict()
    if hypotheses is not None:
        write(hypotheses, "".join(f"{line}\n" for line in evaluation.hypotheses))
    if out is not None:
        write(out, to_json(report))
    print(to_json(report) if as_json else _table(evaluation), end="")


def read_test_set(
    data: str,
    reference: Path | None = None,
    split: str | None = None,
    source_column: str | None = None,
    target_column: str | None = None,
) -> list[tuple[str, str]]:
    """The sentence pairs that the options name, in anything that the configuration's `data` takes."""
    from pydantic import ValidationError

    from shisen.data.config import ParallelTextConfig
    from shisen.data.parallel_text import read_pairs

    try:
        config = ParallelTextConfig(
            source=data,
            target=None if reference is None else str(reference),
            source_column=_column(source_column),
            target_column=_column(target_column),
            split=split,
        )
    except ValidationError as error:
        raise UserError(f"--data {data}: {error.errors()[0]['msg']}") from error
    return [(pair[0], pair[1]) for pair in read_pairs(config, "test")]


def _column(column: str | None) -> str | int | None:
    """Columns of a TSV file have numbers, or names in its header."""
    return int(column) if column is not None and column.isdecimal() else column


def say_tokenization(translators: Sequence[Any], pairs: list[tuple[str, str]]) -> str:
    """Choose BLEU's tokenisation, and say on standard error which and why."""
    from shisen.evaluation.scores import choose_tokenization
    from shisen.evaluation.system import has_word_tokens

    is_tokenized = bool(translators) and all(map(has_word_tokens, translators))
    choice = choose_tokenization(is_tokenized, [reference for _, reference in pairs[:1000]])
    print(f"BLEU's tokenisation is {choice.name}: {choice.reason} (--tokenize changes it)", file=sys.stderr)
    return choice.name


def decoding_options(beam_size: int | None, length_penalty: float | None = None) -> dict[str, Any]:
    """The options of translating that were given; the model decides the others."""
    options = {"beam_size": beam_size, "length_penalty": length_penalty}
    return {name: value for name, value in options.items() if value is not None}


def describe(data: str, reference: Path | None) -> str:
    """The test set in a few words."""
    return data if reference is None else f"{data} and {reference}"


def command() -> str:
    """The command line that runs, as it could be typed again."""
    return shlex.join(["shisen", *sys.argv[1:]])


def check_can_write(file: Path | None) -> None:
    """Refuse a place that cannot be written before the work is done, not after."""
    if file is None:
        return
    if file.is_dir():
        raise UserError(f"{file} is a directory; a file to write is wanted")
    if not file.absolute().parent.is_dir():
        raise UserError(f"{file} cannot be written: there is no directory {file.absolute().parent}")


def write(file: Path, text: str) -> None:
    """Write a file aside and put it in place."""
    from shisen.model_directory import write_atomically

    write_atomically(file, text)


def to_json(value: object) -> str:
    """JSON for people and programs; what is not finite becomes null, which JSON has."""
    return json.dumps(_finite(value), ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and value - value != 0 else value


@contextmanager
def progress(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, where that is a terminal; yields what advances it."""
    if not sys.stderr.isatty():
        yield lambda steps: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda steps: bar.advance(task, steps)


def score_line(score: "Score", has_interval: bool = True) -> str:
    """One score with its interval and signature, in columns."""
    interval = f"[{score.low:.2f}, {score.high:.2f}]" if has_interval else ""
    return f"{score.name:<12} {score.value:>7.2f}  {interval:<16} {score.signature}".rstrip()


def _table(evaluation: "Evaluation") -> str:
    scores = evaluation.scores
    has_interval = evaluation.provenance["settings"]["bootstrap_samples"] > 0
    lines = [score_line(score, has_interval) for score in (scores.bleu, scores.chrf, scores.ter)]
    lines += [
        f"{'perplexity':<12} {evaluation.perplexity:>7.2f}",
        f"{'length ratio':<12} {scores.length_ratio:>7.3f}",
    ]
    if evaluation.alignment is not None:
        alignment = evaluation.alignment
        lines.append(
            f"{'AER':<12} {alignment.error_rate:>7.3f}  "
            f"precision {alignment.precision:.3f}, recall {alignment.recall:.3f}"
        )
    lines.append(f"{'sentences':<12} {len(evaluation.hypotheses):>7}")
    return "\n".join(lines) + "\n"
