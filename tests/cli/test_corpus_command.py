"""``shisen corpus generate``, as typed."""

from pathlib import Path

import pytest

from shisen.cli.main import main


def _run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as leaving:
        main(["corpus", "generate", *arguments])
    return int(leaving.value.code or 0)


def test_it_writes_the_files_and_says_which(tmp_path, capsys):
    out = tmp_path / "corpus"
    lengths = ("--min-words", "4", "--max-words", "9")
    assert _run("--pairs", "30", "--seed", "2", *lengths, "--out", str(out)) == 0
    splits = ("train", "validation", "test")
    names = {f"{split}.{kind}" for split in splits for kind in ("en", "ja", "align")}
    assert {path.name for path in out.iterdir()} == names | {"corpus.json", "README.md"}
    assert f"{out}/train.{{en,ja,align}}: 28 pairs" in capsys.readouterr().out


def test_the_empty_folder_that_one_is_in_is_filled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert _run("--pairs", "30", "--max-words", "9", "--out", ".") == 0
    names = {path.name for path in Path.cwd().iterdir()}
    assert len(names) == 11
    assert {"train.en", "test.align", "corpus.json"} <= names


def test_a_second_run_does_not_overwrite_the_first(tmp_path, capsys):
    out = tmp_path / "corpus"
    assert _run("--pairs", "30", "--max-words", "9", "--out", str(out)) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert _run("--pairs", "40", "--max-words", "9", "--out", str(out)) == 2
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert "holds files already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ["--pairs", "9", "--min-words", "9", "--max-words", "8"],
            "--min-words 9 is more than --max-words 8",
        ),
        (["--pairs", "0"], "--pairs 0"),
        (["--pairs", "many"], "valid integer"),
        (["--max-words", "10"], "--pairs"),
        (
            ["--pairs", "9", "--min-words", "0"],
            "--min-words 0: must be from 2",
        ),
    ],
)
def test_bad_requests_end_with_one_line_and_exit_code_2(tmp_path, capsys, arguments, complaint):
    out = tmp_path / "corpus"
    assert _run(*arguments, "--out", str(out)) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_an_output_that_is_a_file_is_refused(tmp_path, capsys):
    out = tmp_path / "corpus"
    out.write_text("mine")
    assert _run("--pairs", "10", "--out", str(out)) == 2
    assert out.read_text() == "mine"
    assert "is a file" in capsys.readouterr().err
