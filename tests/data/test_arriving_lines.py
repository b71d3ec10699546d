"""Lines in chunks: of a file full ones, of a pipe those that have arrived."""

import gzip
import io
import os
import sys
import threading

import pytest

from shisen.data import arriving_lines as module
from shisen.data.arriving_lines import arriving_lines, chunked
from shisen.data.lines import LONGEST_LINE
from shisen.errors import UserError


class Pipe(io.RawIOBase):
    """A pipe whose reads return exactly these pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        piece = self.pieces.pop(0) if self.pieces else b""
        if rest := piece[len(buffer) :]:
            self.pieces.insert(0, rest)
        piece = piece[: len(buffer)]
        buffer[: len(piece)] = piece
        return len(piece)


@pytest.fixture
def pipe(monkeypatch):
    """Make standard input a pipe of given pieces."""

    def make(*pieces: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Pipe(*pieces))))

    return make


def test_a_file_comes_in_full_chunks(tmp_path):
    path = tmp_path / "text"
    path.write_text("a\n\nb\nc\nd", "utf-8")
    assert list(arriving_lines(path, 2)) == [["a", ""], ["b", "c"], ["d"]]


def test_a_file_is_read_although_standard_input_is_closed(tmp_path, monkeypatch):
    path = tmp_path / "text"
    path.write_text("a\nb\n", "utf-8")
    monkeypatch.setattr(sys, "stdin", None)
    assert list(arriving_lines(path, 2)) == [["a", "b"]]
    with pytest.raises(UserError, match="standard input is closed; name a file"):
        list(arriving_lines("-", 2))


def test_standard_input_comes_as_it_arrives(pipe):
    pipe(b"\xef\xbb\xbfone\n", b"two\nthree\r\nfo", b"ur\n", b"\n\n", "五".encode()[:1], "五".encode()[1:])
    assert list(arriving_lines("-", 2)) == [["one"], ["two", "three"], ["four"], ["", ""], ["五"]]


def test_many_lines_that_arrive_together_are_cut_into_chunks(pipe):
    pipe(b"a\nb\nc\n")
    assert list(arriving_lines("-", 2)) == [["a", "b"], ["c"]]


def test_a_line_is_given_while_the_writer_still_holds_the_pipe_open(monkeypatch):
    reading, writing = os.pipe()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(os.fdopen(reading, "rb")))
    chunks = arriving_lines("-", 100)
    os.write(writing, b"first\n")
    assert next(chunks) == ["first"]
    later = threading.Timer(0.05, lambda: (os.write(writing, b"second\nthird\n"), os.close(writing)))
    later.start()
    assert next(chunks) == ["second", "third"]
    assert next(chunks, None) is None
    later.join()


def test_gzipped_standard_input_is_unzipped(pipe):
    pipe(gzip.compress(b"a\nb\nc\n"))
    assert list(arriving_lines("-", 2)) == [["a", "b"], ["c"]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"good\nb\xffd\nnever\n", r"standard input, line 2: not UTF-8 \(byte 0xff"),
        (b"good\na\x00b\nnever\n", "standard input, line 2: a NUL byte"),
        (b"good\n" + b"x" * (LONGEST_LINE + 5) + b"\nnever\n", "standard input, line 2: longer than"),
        (b"good\n" + b"x" * (LONGEST_LINE + 5), "standard input, line 2: longer than"),
    ],
)
def test_a_bad_line_is_named_after_the_lines_before_it_were_given(pipe, data, message):
    pieces = [data[start : start + 65536] for start in range(0, len(data), 65536)]
    pipe(*pieces)
    chunks = arriving_lines("-", 100)
    assert next(chunks) == ["good"]
    with pytest.raises(UserError, match=message):
        list(chunks)


def test_a_bad_line_of_a_file_is_named_after_the_lines_before_it(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"one\ntwo\nthr\xffe\n")
    chunks = arriving_lines(path, 100)
    assert next(chunks) == ["one", "two"]
    with pytest.raises(UserError, match=f"{path}, line 3: not UTF-8"):
        next(chunks)


def test_memory_stays_bounded_in_a_line_without_end(pipe, monkeypatch):
    monkeypatch.setattr(module, "LONGEST_LINE", 1000)
    pipe(*[b"x" * 1000] * 50, b"\nb\n")
    monkeypatch.setattr("shisen.data.lines.LONGEST_LINE", 1000)
    with pytest.raises(UserError, match="line 1: longer than 1,000 bytes"):
        list(arriving_lines("-", 10))


def test_chunks_of_nothing_are_none():
    assert list(chunked([], 3)) == []
