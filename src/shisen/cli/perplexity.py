"""``shisen perplexity``: how well a language model foresees a text."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from shisen.cli import common
from shisen.errors import UserError
from shisen.files import write_atomically

if TYPE_CHECKING:
    from shisen.evaluation.language import LanguageEvaluation


def perplexity(
    model: common.ModelDirectory,
    data: str = typer.Option(
        ...,
        help="The text: a file, one text a line (.gz too), a column of a TSV or JSONL file, a directory of "
        "splits, a Hub id.",
    ),
    split: common.Split = None,
    column: str | None = typer.Option(
        None, help="Where --data has columns: which. Default: TSV column 1, key `text`."
    ),
    batch_size: int = typer.Option(100, min=1, help="Texts read together."),
    max_prompt_length: int = typer.Option(1024, min=1, help="A text with more tokens is an error."),
    device: common.Device = "cpu",
    out: Path | None = typer.Option(None, help="Write everything measured to this JSON file."),
    as_json: common.AsJson = False,
) -> None:
    """Measure a language model on a text: perplexity per token and per word, bits per character.

    Every line counts with its end, as a token, a word and a character. Only the last two compare models with
    different vocabularies, and only where no token is unknown. Words are what stands between blanks.
    """
    common.check_can_write(out)
    lines = common.read_test_text(data, split, column)
    from shisen.evaluation.language import evaluate_language_model
    from shisen.generation import LongPromptError, TextGenerator

    generator = TextGenerator.load(model, device, max_prompt_length)
    try:
        with common.progress(len(lines), "reading") as advance:
            evaluation = evaluate_language_model(generator, lines, batch_size, advance)
    except LongPromptError as error:
        raise UserError(f"{data}, text {error.number:,}: {error.detail}") from None
    report = {"model": str(model), "data": data, "command": common.command()}
    report |= evaluation.as_dict()
    if out is not None:
        write_atomically(out, common.to_json(report))
    print(common.to_json(report) if as_json else _table(evaluation), end="")


def _table(evaluation: "LanguageEvaluation") -> str:
    numbers = {
        "perplexity per token": f"{evaluation.perplexity:,.2f}",
        "perplexity per word": f"{evaluation.word_perplexity:,.2f}",
        "bits per character": f"{evaluation.bits_per_character:.4f}",
        "tokens": f"{evaluation.tokens:,}",
        "of which unknown": f"{evaluation.unknown:,}",
        "words": f"{evaluation.words:,}",
        "characters": f"{evaluation.characters:,}",
        "lines": f"{evaluation.lines:,}",
    }
    width = max(map(len, numbers.values()))
    return "".join(f"{name:<21} {number:>{width}}\n" for name, number in numbers.items())
