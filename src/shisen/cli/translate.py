"""``shisen translate``: lines of text in, lines of translation out, with their attention if wanted."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import typer

from shisen.cli import common
from shisen.errors import UserError

if TYPE_CHECKING:
    from shisen.inspection.map_file import AttentionMapWriter
    from shisen.pipelines import Translation


def translate(
    model: common.ModelDirectory,
    file: str = typer.Argument(
        "-", metavar="[FILE|-]", help="Sentences, one a line (.gz too); - or nothing: standard input."
    ),
    output: Path | None = typer.Option(
        None, metavar="FILE", help="Write to this file, which appears when all is done."
    ),
    as_json: bool = typer.Option(
        False, "--json", help="A JSON object a line: tokens, score, log-probabilities, attention, model."
    ),
    attention: Path | None = typer.Option(
        None,
        metavar="FILE",
        help="Write the attention of all lines to one file (.attn.safetensors), which `shisen plot "
        "attention` draws and load_maps reads; each map knows its line.",
    ),
    n_best: int = typer.Option(
        1, min=1, help="Translations per line, the best first, with tabs between them (in JSON a list)."
    ),
    beam_size: common.BeamSize = None,
    length_penalty: common.LengthPenalty = None,
    max_length: int | None = typer.Option(
        None, min=1, help="Most tokens of a translation. Default: twice the source's and 10."
    ),
    min_length: int = typer.Option(0, min=0, help="Fewest tokens of a translation."),
    no_repeat_ngram: int = typer.Option(0, min=0, help="No n-gram of this size comes twice. 0: any may."),
    forbid_unknown: bool = typer.Option(False, "--forbid-unknown", help="Never produce <unk>."),
    replace_unknown: bool = typer.Option(
        False, "--replace-unknown", help="In place of <unk>, the source word that was looked at most."
    ),
    sample: bool = typer.Option(
        False, "--sample", help="Draw words by their probabilities instead of searching for the best."
    ),
    temperature: float | None = typer.Option(
        None, help="Of --sample: below 1 sharper, above 1 flatter. Default: 1.0."
    ),
    top_k: int | None = typer.Option(
        None, min=0, help="Of --sample: draw from the k likeliest tokens. Default: 0, all."
    ),
    top_p: float | None = typer.Option(
        None, help="Of --sample: draw from the likeliest tokens that make up p. Default: 1.0, all."
    ),
    seed: int | None = typer.Option(None, min=0, help="Of --sample: other seeds, other draws. Default: 0."),
    batch_size: common.BatchSize = 100,
    max_source_length: common.MaxSourceLength = 1024,
    device: common.Device = "cpu",
    engine: common.Engine = None,
) -> None:
    """Translate text: one line of output for each line of input, in order, an empty one for an empty one.

    Input streams: memory does not grow with it, and what is typed or piped in slowly is answered line by
    line. At a bad line (not UTF-8, a NUL byte, too long) the translations of the lines before it have been
    printed; --output and --attention write nothing then.
    """
    drawing = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
    drawing_given = {name: value for name, value in drawing.items() if value is not None}
    if drawing_given and not sample:
        option = next(iter(drawing_given)).replace("_", "-")
        raise UserError(f"--{option} shapes --sample, which was not given")
    if sample and beam_size is not None:
        raise UserError("--beam-size is for beam search; --sample draws instead")
    common.check_can_write(output)
    common.check_can_write(attention)
    _check_can_read(file)

    from shisen.data.arriving_lines import arriving_lines
    from shisen.pipelines import LongSourceError, Translator

    translator = Translator.load(model, device, max_source_length, engine)
    translations = translator.translate_chunks(
        arriving_lines(file, most=8 * batch_size),
        n_best=n_best,
        beam_size=beam_size,
        length_penalty=length_penalty,
        max_length=max_length,
        min_length=min_length,
        no_repeat_ngram=no_repeat_ngram,
        forbid_unknown=forbid_unknown,
        replace_unknown=replace_unknown,
        sampling=sample,
        batch_size=batch_size,
        attention=as_json or attention is not None,
        **drawing_given,
    )
    with ExitStack() as opened:
        out = opened.enter_context(_opened(output))
        maps = opened.enter_context(_map_writer(attention)) if attention is not None else None
        advance = opened.enter_context(_progress(is_output_shown=output is None))
        try:
            for number, translation in enumerate(translations, start=1):
                line = translation.to_json() if as_json else _plain(translation)
                out.write(line.encode() + b"\n")
                out.flush()
                if maps is not None:
                    _add_maps(maps, translation, number)
                advance()
        except LongSourceError as error:
            name = "standard input" if file == "-" else file
            raise UserError(f"{name}, line {error.number:,}: {error.detail}") from None


def _plain(translation: "Translation") -> str:
    """The translation, or the n-best list with tabs between."""
    return "\t".join(one.text for one in translation.hypotheses)


def _add_maps(maps: "AttentionMapWriter", translation: "Translation", line: int) -> None:
    """Append the attention of the best translation; an empty line has none."""
    import dataclasses

    for attention_map in translation.attention.values():
        maps.add(dataclasses.replace(attention_map, metadata={**attention_map.metadata, "line": line}))


def _map_writer(path: Path) -> "AttentionMapWriter":
    from shisen.inspection.map_file import AttentionMapWriter

    return AttentionMapWriter(path)


def _check_can_read(file: str) -> None:
    """Report a mistyped file before the model is loaded."""
    if file == "-":
        return
    try:
        open(file, "rb").close()
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from None


@contextmanager
def _opened(output: Path | None) -> Iterator[BinaryIO]:
    """Standard output, or a file that is put in its place once it is whole."""
    if output is None:
        yield sys.stdout.buffer
        return
    from shisen.files import written_aside

    with written_aside(output) as file:
        yield file


@contextmanager
def _progress(is_output_shown: bool) -> Iterator[Callable[[], None]]:
    """A count of lines on standard error, if that is a terminal on which nothing else is written or typed."""
    is_busy = is_output_shown and sys.stdout.isatty()
    if is_busy or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.completed} lines"), TaskProgressColumn(show_speed=True), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("translating", total=None)
        yield lambda: bar.advance(task)
