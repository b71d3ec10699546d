"""Lines of text from files and pipes, checked as they stream: UTF-8, no control characters, not too long.

Only a line feed (or carriage return and line feed) ends a line: characters such as U+2028 or U+0085, at which
``str.splitlines`` would break, cannot shift one side of a corpus against the other.
"""

import gzip
import io
import re
import sys
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import cast

from shisen.errors import UserError

LONGEST_LINE = 4_000_000
"""Bytes in the longest line that is read; a longer one is hardly text, and memory is finite."""

GZIP_MAGIC = b"\x1f\x8b"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_CONTROL_CHARACTER = "\x00-\x08\x0a-\x1f\x7f-\x9f"  # all of category Cc but the tab
_LONE_SURROGATE = "\ud800-\udfff"  # half a character, which JSON can spell and UTF-8 cannot
_BAD_CHARACTER = re.compile(f"[{_CONTROL_CHARACTER}{_LONE_SURROGATE}]")


class BadLine(Exception):  # noqa: N818 - it is not an error where bad lines are skipped
    """A line that cannot be used.

    Args:
        reason: the kind of trouble in a few words, under which it is counted.
        detail: what exactly is wrong with this line.
        path: the file, where it is not the one that is being read anyway.
    """

    def __init__(self, reason: str, detail: str, path: str | None = None) -> None:
        """Keep what is wrong."""
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.path = path


def read_lines(source: str | Path) -> Iterator[str]:
    """The lines of a file (gzipped or not) or, for ``-``, of standard input. Lines may be empty.

    Raises:
        UserError: with file and line, at the first that is not UTF-8, holds a control character or is longer
            than ``LONGEST_LINE``; or if the file cannot be read.
    """
    name = "standard input" if str(source) == "-" else str(source)
    for number, line in enumerate(raw_lines(source), start=1):
        try:
            yield decode(line)
        except BadLine as problem:
            raise UserError(f"{name}, line {number}: {problem.detail}") from None


def decode(line: bytes) -> str:
    """One raw line as text.

    Raises:
        BadLine: if it is not usable text.
    """
    if len(line) > LONGEST_LINE:
        raise BadLine("too long", f"longer than {LONGEST_LINE:,} bytes")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        detail = f"not UTF-8 (byte 0x{line[error.start]:02x} at position {error.start + 1})"
        if line.startswith(_UTF_16_MARKS):
            detail = "not UTF-8; it looks like UTF-16"
        raise BadLine("not UTF-8", f"{detail}; convert the file to UTF-8") from None
    return check_characters(text)


def check_characters(text: str) -> str:
    """The text itself, if it holds no control character (tabs may stay) and no lone surrogate.

    Raises:
        BadLine: if it does.
    """
    if not text.isprintable() and (found := _BAD_CHARACTER.search(text)):
        character = ord(found.group())
        where = f"at character {found.start() + 1}"
        if 0xD800 <= character <= 0xDFFF:
            raise BadLine("lone surrogate", f"the lone surrogate U+{character:04X} {where}")
        name = "a NUL byte" if character == 0 else f"the control character U+{character:04X}"
        raise BadLine("control character", f"{name} {where}")
    return text


def raw_lines(source: str | Path) -> Iterator[bytes]:
    """The lines of a file or of standard input (``-``) as bytes, without line ends and byte order mark.

    A line above ``LONGEST_LINE`` comes cut, one byte longer than that, for :func:`decode` to refuse.

    Raises:
        UserError: if the file is missing or unreadable, or its compression is damaged.
    """
    name = "standard input" if str(source) == "-" else str(source)
    number = 0
    try:
        with ExitStack() as opened:
            file = _open(source, opened)
            while line := file.readline(LONGEST_LINE + 2):
                number += 1
                if not line.endswith(b"\n") and len(line) > LONGEST_LINE:
                    _skip_to_line_end(file)
                    line = line[: LONGEST_LINE + 1]
                if number == 1:
                    line = line.removeprefix(BYTE_ORDER_MARK)
                yield line.removesuffix(b"\n").removesuffix(b"\r")
    except EOFError:
        raise UserError(f"{name}: the gzip file is truncated (after line {number})") from None
    except (zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{name}: the gzip file is damaged after line {number} ({error})") from None
    except OSError as error:
        raise UserError(f"{name}: cannot be read ({error.strerror or error})") from None


@contextmanager
def standard_input() -> Iterator[io.BufferedReader]:
    """The bytes of standard input, which stays open.

    Raises:
        UserError: it is closed (``<&-``).
    """
    if sys.stdin is None:
        raise UserError("standard input is closed; name a file, or send text by a pipe")
    stdin = sys.stdin.buffer
    if isinstance(stdin, io.BufferedReader):
        yield stdin
        return
    file: io.BufferedReader = io.BufferedReader(cast(io.RawIOBase, stdin))  # replaced by something in memory
    try:
        yield file
    finally:
        if not file.closed:  # by whoever owns what it wraps
            file.detach()  # or it would close that


def _skip_to_line_end(file: io.BufferedReader) -> None:
    while (rest := file.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
        pass


def _open(source: str | Path, opened: ExitStack) -> io.BufferedReader:
    """A buffered stream of the text's bytes, unzipped where they are gzipped; ``opened`` closes the file."""
    if str(source) == "-":
        file = opened.enter_context(standard_input())
    else:
        file = opened.enter_context(open(source, "rb"))  # noqa: SIM115 - opened closes it
    if file.peek(2)[:2] == GZIP_MAGIC:
        return io.BufferedReader(cast(io.RawIOBase, gzip.GzipFile(fileobj=file)), 2**18)
    if str(source).endswith(".gz"):
        raise UserError(f"{source}: named .gz but not a gzip file")
    return file
