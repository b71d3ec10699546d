"""What a built wheel brings: everything that shisen needs to run, and nothing of the workshop."""

import os
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

import shisen

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from the checkout, without the network."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def metadata(wheel: Path, names: set[str]) -> Message:
    (name,) = (name for name in names if name.endswith(".dist-info/METADATA"))
    with zipfile.ZipFile(wheel) as archive:
        return Parser().parsestr(archive.read(name).decode("utf-8"))


def test_the_wheel_holds_every_file_of_the_package(names: set[str]):
    source = ROOT / "src"
    files = {
        path.relative_to(source).as_posix()
        for path in (source / "shisen").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {"shisen/py.typed", "shisen/data/embedded/grammar.yaml"} <= files
    assert files - names == set()


def test_the_wheel_holds_nothing_but_the_package(names: set[str]):
    strangers = {name for name in names if not name.startswith(("shisen/", "shisen-"))}
    assert strangers == set()


def test_the_wheel_brings_the_licence_and_the_version(names: set[str], metadata: Message):
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Version"] == shisen.__version__


def test_the_description_of_the_wheel_is_the_readme(metadata: Message):
    assert metadata.get_payload().strip() == (ROOT / "README.md").read_text(encoding="utf-8").strip()


def test_the_wheel_runs_on_its_own(wheel: Path, tmp_path: Path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    where = subprocess.run(
        [sys.executable, "-c", "import shisen; print(shisen.__file__)"],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert where.stdout.startswith(str(tmp_path / "installed"))
    corpus = tmp_path / "corpus"
    subprocess.run(
        [sys.executable, "-m", "shisen", "corpus", "generate", "--pairs", "10", "--out", str(corpus)],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
    )
    assert any(corpus.iterdir())
