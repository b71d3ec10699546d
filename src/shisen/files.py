"""Files that appear whole or not at all."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from shisen.errors import RunError

_ASIDE = re.compile(r"(.+)\.\d+\.partial")


@contextmanager
def written_aside(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its place when the block ends; after an error it never appears.

    A device (``/dev/null``) or a named pipe is written to, not replaced.

    Raises:
        RunError: The file could not be written (a full disk); what was there before is untouched.
    """
    path = Path(path)
    is_device = path.exists() and not path.is_file()
    aside = path if is_device else path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with aside.open("wb") as file:
            yield file
            if not is_device:
                file.flush()
                os.fsync(file.fileno())
        if not is_device:
            os.replace(aside, path)
    except OSError as error:
        raise RunError(f"{path} could not be written: {error.strerror or error}") from error
    finally:
        if not is_device:
            aside.unlink(missing_ok=True)


def write_atomically(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Write a whole file (text as UTF-8), so that it is as wanted or as it was, whatever happens.

    What is no text, as in the name of a file that was not named in UTF-8, is written as an escape.

    Raises:
        RunError: As `written_aside`.
    """
    with written_aside(path) as file:
        file.write(content.encode(errors="backslashreplace") if isinstance(content, str) else content)


def leftovers(folder: Path) -> Iterator[tuple[Path, str]]:
    """Find the files that `written_aside` left in a folder because its process was killed.

    Yields:
        The file, and the name that it was to have.
    """
    for path in sorted(folder.iterdir()):
        match = _ASIDE.fullmatch(path.name)
        if match and path.is_file():
            yield path, match[1]
