"""Pharaoh files: what is read, what is written, and what is refused with its line."""

import gzip

import pytest

from shisen.data.alignments import Alignment, parse_alignment, read_alignments, write_alignments
from shisen.errors import UserError


def test_a_sure_link_is_also_a_possible_one():
    alignment = parse_alignment("0-0 2-1 1p2")
    assert alignment.sure == {(0, 0), (2, 1)}
    assert alignment.possible == {(0, 0), (2, 1), (1, 2)}


def test_a_link_written_as_sure_and_as_possible_is_sure():
    assert parse_alignment("1p1 1-1") == Alignment(frozenset({(1, 1)}))


def test_words_may_be_counted_from_one():
    assert parse_alignment("1-1 2p3", one_based=True).possible == {(0, 0), (1, 2)}


def test_an_empty_line_is_a_pair_without_links(tmp_path):
    path = tmp_path / "a.align"
    path.write_text("0-0\n\n1-1\n", encoding="utf-8")
    assert [len(alignment.sure) for alignment in read_alignments(path)] == [1, 0, 1]


def test_what_is_written_is_read_back(tmp_path):
    path = tmp_path / "a.align"
    alignments = [
        Alignment(frozenset({(0, 1), (10, 2)}), frozenset({(3, 3)})),
        Alignment(frozenset()),
        Alignment(frozenset({(0, 0)})),
    ]
    write_alignments(path, alignments)
    assert path.read_text(encoding="utf-8") == "0-1 3p3 10-2\n\n0-0\n"
    assert read_alignments(path) == alignments
    assert list(tmp_path.iterdir()) == [path]


def test_a_byte_order_mark_windows_line_ends_and_gzip_are_read_as_in_any_text(tmp_path):
    content = b"\xef\xbb\xbf0-0\r\n1-1\r\n"
    (tmp_path / "a.align").write_bytes(content)
    (tmp_path / "a.align.gz").write_bytes(gzip.compress(content))
    expected = [Alignment(frozenset({(0, 0)})), Alignment(frozenset({(1, 1)}))]
    assert read_alignments(tmp_path / "a.align") == expected
    assert read_alignments(tmp_path / "a.align.gz") == expected


@pytest.mark.parametrize("written", ["0:0", "0-", "-1-2", "a-b", "0-1-2", "0-0,1-1", "0p", "1234567890-1"])
def test_what_is_not_a_link_is_refused_with_its_line(tmp_path, written):
    path = tmp_path / "a.align"
    path.write_text(f"0-0\n1-1 {written}\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"a\.align, line 2: .* is not a link"):
        read_alignments(path)


def test_word_0_is_refused_where_words_are_counted_from_1(tmp_path):
    path = tmp_path / "a.align"
    path.write_text("1-1\n0-1\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"line 2: link '0-1' names word 0"):
        read_alignments(path, one_based=True)


def test_a_file_that_is_not_text_is_refused_with_its_line(tmp_path):
    path = tmp_path / "a.align"
    path.write_bytes(b"0-0\n\xff\xfe\n")
    with pytest.raises(UserError, match=r"line 2: not UTF-8"):
        read_alignments(path)


def test_a_missing_file_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match=r"none\.align: cannot be read \(No such file"):
        read_alignments(tmp_path / "none.align")
