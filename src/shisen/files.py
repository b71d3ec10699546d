"""Files that appear whole or not at all."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from shisen.errors import RunError, UserError

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


def check_free(folder: Path) -> None:
    """Refuse a place for a new folder that holds something already.

    Raises:
        UserError: The path is a file, lies under one, or is a folder that is not empty.
    """
    nearest = next(parent for parent in folder.absolute().parents if parent.exists())
    if not nearest.is_dir():
        raise UserError(f"{folder}: {nearest.name} is a file; name a new folder with --out")
    if folder.is_dir():
        if any(folder.iterdir()):
            raise UserError(
                f"{folder}: holds files already; nothing was overwritten, name a new folder with --out"
            )
    elif folder.exists():
        raise UserError(f"{folder}: is a file; name a new folder with --out")


@contextmanager
def folder_written_aside(folder: Path) -> Iterator[Path]:
    """Give a folder to write in that takes its place when the block ends; after an error it never appears.

    Raises:
        UserError: Something is there already (`check_free`).
        RunError: It could not be written (a full disk).
    """
    check_free(folder)
    is_there = folder.is_dir()
    aside = (folder if is_there else folder.absolute().parent) / f".{folder.name}.{os.getpid()}.partial"
    try:
        aside.mkdir(parents=True)
        yield aside
        if is_there:
            for entry in sorted(aside.iterdir()):
                os.replace(entry, folder / entry.name)
        else:
            os.replace(aside, folder)
    except OSError as error:
        raise RunError(f"{folder} could not be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def leftovers(folder: Path) -> Iterator[tuple[Path, str]]:
    """Find the files that `written_aside` left in a folder because its process was killed.

    Yields:
        The file, and the name that it was to have.
    """
    for path in sorted(folder.iterdir()):
        match = _ASIDE.fullmatch(path.name)
        if match and path.is_file():
            yield path, match[1]
