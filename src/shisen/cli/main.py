"""The entry point ``shisen``: gathers the verbs and turns every user error into one line and an exit code."""

import os
import sys

import typer

from shisen import __version__
from shisen.cli import (
    align,
    analyze,
    compare_systems,
    corpus,
    demo,
    evaluate,
    export,
    generate,
    heads,
    perplexity,
    plot,
    train,
    translate,
)
from shisen.errors import UserError, is_out_of_memory

app = typer.Typer(
    name="shisen",
    help="Attention in sequence models: train it, translate with it, see it, measure it, question it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

# One line a verb. A verb with sub-verbs (corpus generate, plot attention) brings a Typer of its own.
app.command("train")(train.train)
app.command("translate")(translate.translate)
app.command("generate")(generate.generate)
app.command("evaluate")(evaluate.evaluate)
app.command("perplexity")(perplexity.perplexity)
app.command("compare-systems")(compare_systems.compare_systems)
app.command("analyze")(analyze.analyze)
app.command("heads")(heads.heads)
app.command("align")(align.align)
app.command("export")(export.export)
app.add_typer(plot.app, name="plot")
app.add_typer(corpus.app, name="corpus")
app.command("demo")(demo.demo)


def _print_version(is_asked: bool) -> bool:
    if is_asked:
        print(f"shisen {__version__}")
        raise typer.Exit()
    return is_asked


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version and stop."
    ),
) -> None:
    """Attention in sequence models: train it, translate with it, see it, measure it, question it."""


def _say(message: str) -> None:
    """One line on standard error, whatever line breaks the message held."""
    print("shisen: error: " + " ".join(message.split()), file=sys.stderr)


def _discard_output() -> None:
    """Keep what could not be printed from failing once more when Python exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(arguments: list[str] | None = None) -> None:
    """Run one command and leave with its exit code: 0 done, 1 failed at run time, 2 bad input."""
    usage_error = typer.BadParameter.__mro__[1]  # click's UsageError, which typer does not export
    try:
        code = typer.main.get_command(app).main(args=arguments, prog_name="shisen", standalone_mode=False)
        sys.stdout.flush()  # here, where a full disk can be reported
    except UserError as error:
        _say(str(error))
        code = error.exit_code
    except usage_error as error:  # type: ignore[misc]
        context = getattr(error, "ctx", None)
        hint = f" (see: {context.command_path} --help)" if context else ""
        _say(error.format_message() + hint)  # type: ignore[attr-defined]
        code = 2
    except (KeyboardInterrupt, typer.Abort):
        _say("interrupted")
        code = 130
    except BrokenPipeError:  # the reader of our output has gone: `shisen translate … | head`
        _discard_output()
        code = 1
    except OSError as error:
        _say(f"{error.filename or 'output'}: {error.strerror or error}")
        if error.filename is None:
            _discard_output()
        code = 1
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        _say("out of memory; smaller --batch-size, --beam-size, --samples or --max-length need less")
        code = 1
    sys.exit(code if isinstance(code, int) else 0)
