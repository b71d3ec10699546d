"""``shisen train``: from a configuration to a model directory."""

import shlex
import sys
from pathlib import Path

import typer

from shisen.errors import UserError


def train(
    config: Path | None = typer.Argument(
        None, metavar="[CONFIG.yaml]", help="The configuration. With --resume it may be left out."
    ),
    out: Path | None = typer.Option(
        None, metavar="DIR", help="The directory for model, log and checkpoints: new or empty."
    ),
    set_: list[str] = typer.Option(
        [], "--set", metavar="KEY=VALUE", help="Set a key over the file's: model.attention=luong-general"
    ),
    resume: bool = typer.Option(
        False, "--resume", help="Go on with the run in DIR from its last checkpoint."
    ),
    quiet: bool = typer.Option(False, "--quiet", help="Print errors and the final path alone."),
    skip_bad_lines: bool = typer.Option(
        False, "--skip-bad-lines", help="Leave out lines that cannot be used, and say how many."
    ),
    print_config: bool = typer.Option(
        False, "--print-config", help="Print every key with its default and its meaning, and stop."
    ),
) -> None:
    """Train a model on parallel text, or a language model on one text.

    Progress goes to standard error and the path of the model directory to standard output. Ctrl-C saves and
    stops; --resume goes on, to the bit as if the run had never been stopped.
    """
    if print_config:
        from shisen.training.config_text import config_text

        typer.echo(config_text(), nl=False)
        return
    if out is None:
        raise UserError("--out DIR is missing: the directory for model, log and checkpoints")
    if config is None and not resume:
        raise UserError(
            "CONFIG.yaml is missing; shisen train --print-config > CONFIG.yaml writes one to start from"
        )
    overrides = [*set_, *(["data.skip_bad_lines=true"] if skip_bad_lines else [])]

    from shisen.training.config_file import load_config
    from shisen.training.run_directory import RunDirectory

    loaded = load_config(config, overrides) if config else RunDirectory(out).read_config(overrides)

    from shisen.training.run import TrainingInterrupted
    from shisen.training.run import train as run

    try:
        path = run(loaded, out, resume, quiet, command=shlex.join(["shisen", *sys.argv[1:]]))
    except TrainingInterrupted as interruption:  # asked for: not an error
        typer.echo(str(interruption), err=True)
        raise typer.Exit(interruption.exit_code) from None
    typer.echo(path)
