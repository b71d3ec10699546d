"""Files that appear whole or not at all."""

import os
from pathlib import Path

import pytest

from shisen.errors import RunError
from shisen.files import leftovers, write_atomically, written_aside


def test_a_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("before")
    with written_aside(path) as file:
        file.write("視線".encode())
        assert path.read_text() == "before"
    assert path.read_text(encoding="utf-8") == "視線"
    assert [entry.name for entry in tmp_path.iterdir()] == ["text"]


def test_after_an_error_everything_is_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("before")

    def fail_halfway() -> None:
        with written_aside(path) as file:
            file.write(b"half")
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail_halfway()
    assert path.read_text() == "before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["text"]


@pytest.mark.parametrize("place", ["missing/text", "."])
def test_an_impossible_place_is_one_error_that_names_it(tmp_path: Path, place: str) -> None:
    with pytest.raises(RunError, match="could not be written"):
        write_atomically(tmp_path / place, "text")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/null").is_char_device(), reason="the system has no /dev/null")
def test_a_device_is_written_to_and_stays(tmp_path: Path) -> None:
    write_atomically("/dev/null", "text")
    assert Path("/dev/null").is_char_device()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_named_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_atomically(path, "text")
        assert os.read(reader, 10) == b"text"
    finally:
        os.close(reader)
    assert path.is_fifo()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_disk_is_one_error() -> None:
    with pytest.raises(RunError, match="/dev/full could not be written: No space left"):
        write_atomically("/dev/full", "text")


def test_what_a_killed_process_was_writing_can_be_told_from_other_files(tmp_path: Path) -> None:
    aside = []
    with written_aside(tmp_path / "model.bin"):
        aside += list(tmp_path.iterdir())
        for name in ("model.bin.partial", "notes.12.partial.txt", "7.partial", "model.bin"):
            (tmp_path / name).touch()
        (tmp_path / "folder.12.partial").mkdir()
        assert list(leftovers(tmp_path)) == [(aside[0], "model.bin")]


def test_what_is_no_text_is_written_as_an_escape(tmp_path: Path) -> None:
    write_atomically(tmp_path / "text", os.fsdecode(b"caf\xe9"))
    assert (tmp_path / "text").read_bytes() == rb"caf\udce9"
