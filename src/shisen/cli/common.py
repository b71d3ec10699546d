"""What several verbs share: their options, the test set, progress, and how what was measured is spelled."""

import json
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from shisen.errors import UserError

ModelDirectory = Annotated[
    Path, typer.Argument(metavar="MODEL_DIR", help="The directory that `shisen train` wrote.")
]
Reference = Annotated[Path | None, typer.Option(help="A file of reference translations, line by line.")]
Split = Annotated[str | None, typer.Option(help="Which split of a directory or Hub data set.")]
SourceColumn = Annotated[str | None, typer.Option(help="Where --data holds both sides: that of the source.")]
TargetColumn = Annotated[str | None, typer.Option(help="The same for the target.")]
BeamSize = Annotated[
    int | None,
    typer.Option(min=1, help="Hypotheses kept by beam search; 1 is greedy. Default: the model's setting, 5."),
]
LengthPenalty = Annotated[
    float | None,
    typer.Option(min=0.0, help="More favours longer translations. Default: the model's setting, 1.0."),
]
BatchSize = Annotated[int, typer.Option(min=1, help="Sentences decoded together.")]
MaxSourceLength = Annotated[int, typer.Option(min=1, help="A sentence with more tokens is an error.")]
Engine = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="What computes: torch, or ctranslate2 with an export to it. Default: what MODEL_DIR holds.",
    ),
]
Device = Annotated[str, typer.Option(help="Where to compute: cpu, cuda, cuda:1.")]
Tokenize = Annotated[
    str | None,
    typer.Option(
        help="BLEU's tokenisation: none, 13a, intl, char, ja-mecab, zh …; default: chosen, and said."
    ),
]
Lowercase = Annotated[bool, typer.Option("--lowercase", help="BLEU and chrF ignore case.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")]


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


def check_translates(model: Path) -> None:
    """Refuse a language model before the sentence pairs are asked for that it has no use for."""
    from shisen.model_directory import family_of

    if family_of(model) == "language-model":
        raise UserError(f"{model}: a language model, which does not translate: use shisen perplexity")


def read_test_text(data: str, split: str | None, column: str | None) -> list[str]:
    """The lines of one text that the options name, in anything that the configuration's `data` takes."""
    from shisen.data.config import ParallelTextConfig
    from shisen.data.parallel_text import read_text

    if not data:
        raise UserError("--data is empty; name a text")
    config = ParallelTextConfig(source=data, source_column=_column(column), split=split)
    return list(read_text(config, "test"))


def _column(column: str | None) -> str | int | None:
    """Columns of a TSV file have numbers, or names in its header."""
    return int(column) if column is not None and column.isdecimal() else column


def say_tokenization(translators: Sequence[Any], pairs: list[tuple[str, str]]) -> str:
    """Choose BLEU's tokenisation, and say on standard error which and why."""
    from shisen.evaluation.scores import choose_tokenization
    from shisen.evaluation.system import has_word_tokens

    is_tokenized = bool(translators) and all(
        has_word_tokens(translator.target_tokenizer) for translator in translators
    )
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
