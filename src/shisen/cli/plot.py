"""Stub, replaced by its owner."""

import typer

app = typer.Typer(help="To come.", no_args_is_help=True)


@app.callback()
def _root() -> None:
    """To come."""
