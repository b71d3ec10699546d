"""What the documentation takes from the program itself when it is built, so that the two cannot differ.

A line ``<!-- output of: shisen train --help -->`` in a page becomes the output of that command.
"""

import re
import subprocess
import sys
from typing import Any

from mkdocs.exceptions import PluginError

_COMMAND = re.compile(r"^<!-- output of: shisen (?P<arguments>[a-z -]+) -->$", re.MULTILINE)


def _output(match: re.Match[str]) -> str:
    """The output of the command that a line names, as a block of code."""
    arguments = match["arguments"].split()
    result = subprocess.run(
        [sys.executable, "-m", "shisen", *arguments], capture_output=True, text=True, encoding="utf-8"
    )
    if result.returncode != 0:
        raise PluginError(f"shisen {match['arguments']}: {result.stderr.strip()}")
    language = "yaml" if "--print-config" in arguments else "text"
    return f"```{language}\n{result.stdout.rstrip()}\n```"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the outputs in; called by MkDocs for every page."""
    return _COMMAND.sub(_output, markdown)
