"""Lines of a text in chunks: full ones of a file, and of a pipe or terminal whatever has arrived."""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path

from shisen.data.lines import (
    BYTE_ORDER_MARK,
    GZIP_MAGIC,
    LONGEST_LINE,
    BadLine,
    decode,
    read_lines,
    standard_input,
)
from shisen.errors import UserError

_READ_BYTES = 1 << 16  # what a pipe holds on most systems


def arriving_lines(source: str | Path, most: int) -> Iterator[list[str]]:
    """The lines of a file or, for ``-``, of standard input, `most` at a time.

    Of standard input a chunk comes as soon as there is a line, with the lines that have arrived together, so
    that someone who types is answered line by line.

    Raises:
        UserError: As `read_lines` does, after the lines before the bad one have been given.
    """
    if str(source) != "-":
        yield from chunked(read_lines(source), most)
        return
    with standard_input() as stream:
        if stream.peek(2)[:2] == GZIP_MAGIC:
            yield from chunked(read_lines("-"), most)
            return
        for arrived in _arrivals(stream):
            yield from chunked(arrived, most)


def chunked(lines: Iterable[str], most: int) -> Iterator[list[str]]:
    """The lines, `most` at a time; if reading fails, first those read before, then the error."""
    chunk: list[str] = []
    try:
        for line in lines:
            chunk.append(line)
            if len(chunk) == most:
                yield chunk
                chunk = []
    except UserError as error:
        failure: UserError | None = error
    else:
        failure = None
    if chunk:
        yield chunk
    if failure is not None:
        raise failure


def _arrivals(stream: io.BufferedReader) -> Iterator[Iterator[str]]:
    """For every read of the stream the lines that it completed."""
    count = 0
    rest = b""
    while data := stream.read1(_READ_BYTES):
        *lines, rest = (rest + data).split(b"\n")
        rest = rest[: LONGEST_LINE + 1]  # `decode` will refuse it; memory stays bounded
        if lines:
            yield _decoded(lines, count)
        count += len(lines)
    if rest:
        yield _decoded([rest], count)


def _decoded(lines: list[bytes], count: int) -> Iterator[str]:
    """The lines as text; `count` lines came before them."""
    for number, line in enumerate(lines, start=count + 1):
        if number == 1:
            line = line.removeprefix(BYTE_ORDER_MARK)
        try:
            yield decode(line.removesuffix(b"\r"))
        except BadLine as problem:
            raise UserError(f"standard input, line {number}: {problem.detail}") from None
