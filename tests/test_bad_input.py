"""Whatever is wrong with the input: one clear line, the right exit code, nothing written or overwritten."""

import contextlib
import os
import resource
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml

from bad_input_cases import TABLES, Case
from shisen.cli.main import main

CASES = {f"{table}: {case.name}": case for table, cases in TABLES.items() for case in cases}

CONFIG = {
    "data": {
        "train": {"source": "train.en", "target": "train.ja"},
        "validation": {"source": "validation.en", "target": "validation.ja"},
        "tokenizer": {"kind": "word"},
    },
    "model": {"embedding_size": 8, "hidden_size": 8},
    "training": {"batch_size": 20, "max_steps": 2, "bleu_sentences": 2, "threads": 1, "device": "cpu"},
}
LANGUAGE_MODEL = {
    "data": {
        "train": {"source": "train.en"},
        "validation": {"source": "validation.en"},
        "tokenizer": {"kind": "word"},
    },
    "model": {"family": "language-model", "model_size": 8, "heads": 2, "layers": 1},
    "training": CONFIG["training"],
}


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with text, a configuration and a finished run; see `bad_input_cases`."""
    folder = tmp_path_factory.mktemp("prepared")
    with _working_in(folder):
        generate = (
            "corpus generate --pairs 100 --max-words 12 --validation-pairs 10 --test-pairs 10 --out text"
        )
        assert _exit_code(shlex.split(generate)) == 0
        for path in Path("text").glob("*.*"):
            if path.suffix in (".en", ".ja") or path.name == "test.align":
                path.rename(path.name)
        shutil.rmtree("text")
        Path("config.yaml").write_text(yaml.safe_dump(CONFIG), "utf-8")
        Path("lines.txt").write_text("the cat sat .\nthe dog ran .\nyou read books .\n", "utf-8")
        assert _exit_code(["train", "config.yaml", "--out", "run", "--quiet"]) == 0
        Path("language.yaml").write_text(yaml.safe_dump(LANGUAGE_MODEL), "utf-8")
        assert _exit_code(["train", "language.yaml", "--out", "language", "--quiet"]) == 0
    return folder


@pytest.fixture
def folder(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the prepared folder, for one test to work in."""
    folder = tmp_path / "work"
    shutil.copytree(prepared, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_one_line_and_touches_nothing(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    case = CASES[name]
    _prepare(case, folder)
    if case.blocked:
        _block(case.blocked, monkeypatch)
    before = _snapshot(folder)
    with _file_limit(case.file_limit):
        code = _exit_code(shlex.split(case.command))
    out, err = capfd.readouterr()
    _check(case, code, out, err)
    assert _snapshot(folder, without=case.leaves) == before


@pytest.mark.parametrize(
    "name",
    [
        "training text: source not UTF-8",
        "model directory: parameters in a pickle",
        "generating: to a full disk",
    ],
)
def test_it_is_the_same_for_the_installed_command(name: str, folder: Path) -> None:
    case = CASES[name]
    _prepare(case, folder)
    before = _snapshot(folder)
    limit = f"ulimit -f {case.file_limit // 512}; " if case.file_limit else ""
    done = subprocess.run(
        ["sh", "-c", f"{limit}exec {shlex.quote(sys.executable)} -m shisen {case.command}"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
    )
    _check(case, done.returncode, done.stdout, done.stderr)
    assert _snapshot(folder) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is of Linux")
@pytest.mark.parametrize("command", ["translate run lines.txt", "train --print-config"])
def test_a_full_disk_behind_standard_output_is_one_line(command: str, folder: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "shisen", *command.split()],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "shisen: error: output: No space left on device\n")


def test_a_run_that_met_a_full_disk_goes_on_when_there_is_room(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    case = CASES["output of training: a disk full at the checkpoint"]
    with _file_limit(case.file_limit):
        assert _exit_code(shlex.split(case.command)) == 1
    assert not list(folder.rglob("*.partial"))
    assert _exit_code(["train", "--out", "new", "--resume", "--quiet"]) == 0
    assert capfd.readouterr().out == "new\n"
    assert (folder / "new/model.safetensors").read_bytes() == (folder / "run/model.safetensors").read_bytes()


def test_the_prepared_folder_is_good(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Else the mistakes above would be others than they say."""
    assert _exit_code(["translate", "run", "lines.txt"]) == 0
    assert len(capfd.readouterr().out.splitlines()) == 3
    command = "evaluate run --data test.en --reference test.ja --align-gold test.align --bootstrap 0"
    assert _exit_code(shlex.split(command)) == 0
    assert _exit_code(shlex.split("plot curves run --out curves.svg")) == 0
    assert _exit_code(shlex.split("generate language 'the cat' --max-length 3")) == 0
    assert _exit_code(shlex.split("perplexity language --data test.en")) == 0


def _prepare(case: Case, folder: Path) -> None:
    for path in case.needs:
        if not Path(path).parent.is_dir():
            pytest.skip(f"{path} is of Linux")
    if "device=cuda" in case.command and torch.cuda.is_available():
        pytest.skip("there is a CUDA GPU here")
    for name, content in case.files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    if case.change is not None:
        case.change(folder)


def _check(case: Case, code: int, out: str, err: str) -> None:
    assert "Traceback" not in err
    *progress, message = err.splitlines() or [""]
    assert message.startswith("shisen: error: "), err
    assert case.begins or not progress, err
    assert not any("error" in line.lower() for line in progress), err
    for word in case.words:
        assert word in message
    assert code == case.code, err
    assert case.prints or not out, out


def _exit_code(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert isinstance(left.value.code, int)
    return left.value.code


def _snapshot(folder: Path, without: str | None = None) -> dict[str, bytes | None]:
    """Every file below a folder with its content, and every folder."""
    paths = {str(path.relative_to(folder)): path for path in folder.rglob("*")}
    return {
        name: path.read_bytes() if path.is_file() else None
        for name, path in paths.items()
        if without is None or name.split(os.sep)[0] != without
    }


def _block(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a package look as if it were not installed."""
    import importlib.util

    find_spec = importlib.util.find_spec
    monkeypatch.setitem(sys.modules, package, None)
    hidden = lambda name, *rest: None if name == package else find_spec(name, *rest)  # noqa: E731
    monkeypatch.setattr("importlib.util.find_spec", hidden)
    if "shisen.training.run" in sys.modules:
        monkeypatch.setattr("shisen.training.run.find_spec", hidden)


@contextlib.contextmanager
def _file_limit(size: int | None) -> Iterator[None]:
    """No file can grow beyond a size: writing fails as on a full disk, in this process alone."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft if size is None else size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextlib.contextmanager
def _working_in(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
