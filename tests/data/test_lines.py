"""Lines: what ends one, what spoils one, and that reading stays bounded."""

import gzip
import io

import pytest

from shisen.data import lines
from shisen.data.lines import BadLine, check_characters, raw_lines, read_lines
from shisen.errors import UserError


def _file(folder, content: bytes, name="text.en"):
    path = folder / name
    path.write_bytes(content)
    return path


class _Pipe(io.TextIOWrapper):
    def __init__(self, content: bytes):
        super().__init__(io.BytesIO(content), encoding="utf-8")


def test_a_line_ends_at_a_line_feed_and_nowhere_else(tmp_path):
    text = "one\u2028still one\ntwo\r\nthree\n\nlast without end"
    assert list(read_lines(_file(tmp_path, text.encode()))) == [
        "one\u2028still one",
        "two",
        "three",
        "",
        "last without end",
    ]


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    assert list(read_lines(_file(tmp_path, b"\xef\xbb\xbfhello\n"))) == ["hello"]


def test_gzip_is_recognised_by_its_content(tmp_path):
    packed = gzip.compress("猫が座った\n".encode())
    assert list(read_lines(_file(tmp_path, packed, "text.gz"))) == ["猫が座った"]
    assert list(read_lines(_file(tmp_path, packed, "text.en"))) == ["猫が座った"]


def test_standard_input_is_read_as_it_comes(monkeypatch):
    monkeypatch.setattr("sys.stdin", _Pipe(b"a b\nc\n"))
    assert list(read_lines("-")) == ["a b", "c"]


def test_standard_input_stays_open(monkeypatch):
    pipe = _Pipe(b"a\n")
    monkeypatch.setattr("sys.stdin", pipe)
    list(read_lines("-"))
    assert not pipe.buffer.closed


def test_an_empty_file_has_no_lines(tmp_path):
    assert list(read_lines(_file(tmp_path, b""))) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"good\nb\xe4d\n", r"text\.en, line 2: not UTF-8 \(byte 0xe4 at position 2\)"),
        ("ab".encode("utf-16"), r"text\.en, line 1: not UTF-8; it looks like UTF-16"),
        (b"a\n\nx\0y\n", r"text\.en, line 3: a NUL byte at character 2"),
        (b"a\rb\n", r"text\.en, line 1: the control character U\+000D at character 2"),
        ("a\u0085b\n".encode(), r"text\.en, line 1: the control character U\+0085"),
    ],
)
def test_a_bad_line_is_reported_with_its_number(tmp_path, content, message):
    with pytest.raises(UserError, match=message):
        list(read_lines(_file(tmp_path, content)))


def test_trouble_on_standard_input_says_so(monkeypatch):
    monkeypatch.setattr("sys.stdin", _Pipe(b"a\n\xff\n"))
    with pytest.raises(UserError, match="standard input, line 2: not UTF-8"):
        list(read_lines("-"))


def test_good_lines_before_a_bad_one_are_given_out(tmp_path):
    stream = read_lines(_file(tmp_path, b"good\n\xff\n"))
    assert next(stream) == "good"


@pytest.mark.parametrize("half", [0xD800, 0xDC00, 0xDFFF])
def test_half_a_character_is_refused_as_json_may_hold_one(half):
    with pytest.raises(BadLine, match=f"the lone surrogate U\\+{half:X} at character 2"):
        check_characters(f"a{chr(half)}")
    assert check_characters("a\U0001f408") == "a\U0001f408"


def test_closed_standard_input_is_one_line(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(UserError, match="standard input is closed; name a file"):
        list(read_lines("-"))


def test_tabs_may_stay(tmp_path):
    assert list(read_lines(_file(tmp_path, b"a\tb\n"))) == ["a\tb"]


def test_a_line_too_long_is_refused_and_never_held_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "LONGEST_LINE", 10)
    path = _file(tmp_path, b"x" * 10 + b"\n" + b"y" * 1000 + b"\nz\n" + b"w" * 11)
    raw = list(raw_lines(path))
    assert [len(line) for line in raw] == [10, 11, 1, 11]
    with pytest.raises(UserError, match="line 2: longer than 10 bytes"):
        list(read_lines(path))


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (gzip.compress(b"a\n" * 10000)[:-20], "t.gz", "gzip file is truncated"),
        (
            gzip.compress(b"a\n")[:10] + b"\x07",
            "t.gz",
            "gzip file is damaged after line 0",
        ),  # no such block type
        (gzip.compress(b"a\n")[:-8] + bytes(8), "t.gz", "gzip file is damaged"),  # wrong checksum
        (b"plain\n", "t.gz", "named .gz but not a gzip file"),
    ],
    ids=["truncated", "bad block", "bad checksum", "not gzip"],
)
def test_damaged_compression_is_one_clear_error(tmp_path, content, name, message):
    with pytest.raises(UserError, match=message):
        list(read_lines(_file(tmp_path, content, name)))


def test_a_missing_file_and_a_directory_are_named(tmp_path):
    with pytest.raises(UserError, match="nowhere: cannot be read"):
        list(read_lines(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="cannot be read"):
        list(read_lines(tmp_path))
