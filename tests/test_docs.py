"""Every example of the READMEs and the documentation: it parses, its options exist, and it runs.

Code blocks are taken from the pages as they stand. A Python block that begins with an import begins a
program; the blocks after it go on with its names. Programs and commands that need a trained model run in the
slow set, in a folder that holds what the pages speak of, with a small model trained on the embedded corpus.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
GUIDE = [DOCS / "getting-started.md", DOCS / "architecture.md", *sorted((DOCS / "guide").glob("*.md"))]
# Of two pages that say the same in two languages, the English one is run; a test holds them together.
TRANSLATED = {ROOT / "README.md": ROOT / "README.ja.md"} | {
    page: DOCS / "ja" / page.relative_to(DOCS) for page in GUIDE
}
BLOCK = re.compile(r'^```(?P<language>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```$', re.M | re.S)
# Options that our pages name and that are not ours.
OTHER_OPTIONS = {"--strict"}


@dataclass(frozen=True)
class Block:
    """One fenced block of code."""

    language: str
    title: str | None
    text: str


def blocks_of(page: Path, language: str) -> list[Block]:
    """The blocks of one language in a page, from top to bottom."""
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(m["language"], m["title"], m["text"]) for m in found if m["language"] == language]


def programs_of(page: Path) -> list[str]:
    """The Python programs of a page: blocks from one that begins with an import up to the next such."""
    programs: list[str] = []
    for block in blocks_of(page, "python"):
        if programs and not block.text.startswith(("import ", "from ")):
            programs[-1] += block.text
        else:
            programs.append(block.text)
    return programs


def commands_of(page: Path) -> list[str]:
    """The lines of a page's shell blocks, comments left out and continued lines joined."""
    text = "\n".join(block.text for block in blocks_of(page, "sh")).replace("\\\n", " ")
    lines = (line.split("  #")[0].strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def invocations_of(line: str) -> Iterator[list[str]]:
    """The arguments of each ``shisen`` in a line of shell: of a pipe, or before a redirection."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True  # else hf:model would be three words
    words = list(lexer)
    current: list[str] | None = None
    for word in [*words, ";"]:
        if word in ("|", "&&", ";", ">"):
            if current is not None:
                yield current
            current = None
        elif current is not None:
            current.append(word)
        elif word == "shisen":
            current = []


def named(paths: list[Path]) -> list[Any]:
    return [pytest.param(path, id=path.relative_to(ROOT).as_posix()) for path in paths]


def needs_model(program: str) -> bool:
    return "runs/" in program


# ---------------------------------------------------------------- what holds without running anything


def all_commands() -> dict[tuple[str, ...], Any]:
    """Every command of the command line by its words, ``("plot", "attention")``."""
    import typer

    from shisen.cli.main import app

    found: dict[tuple[str, ...], Any] = {}

    def visit(command: Any, words: tuple[str, ...]) -> None:
        children = getattr(command, "commands", None)
        if children is None:
            found[words] = command
        else:
            for name, child in children.items():
                visit(child, (*words, name))

    visit(typer.main.get_command(app), ())
    return found


def all_options() -> set[str]:
    """Every long option of every command."""
    commands = all_commands().values()
    parameters = [parameter for command in commands for parameter in command.params]
    names = [name for parameter in parameters for name in (*parameter.opts, *parameter.secondary_opts)]
    return {name for name in names if name.startswith("--")} | {"--help", "--version"}


def test_the_pages_have_examples():
    assert sum(len(commands_of(page)) for page in PAGES) > 30
    assert sum(len(programs_of(page)) for page in PAGES) > 8


@pytest.mark.parametrize("page", named([page for page in PAGES if commands_of(page)]))
def test_the_commands_of_a_page_parse(page: Path):
    commands = all_commands()
    for line in commands_of(page):
        for arguments in invocations_of(line):
            if arguments in (["--help"], ["--version"]):
                continue
            words = tuple(arguments[:2]) if tuple(arguments[:2]) in commands else tuple(arguments[:1])
            assert words in commands, f"no such command: {line}"
            # Raises what the user would see if an option is unknown or a value is not of its kind.
            commands[words].make_context(" ".join(words), list(arguments[len(words) :]))


@pytest.mark.parametrize("page", named(PAGES))
def test_the_options_that_a_page_names_exist(page: Path):
    text = page.read_text(encoding="utf-8")
    codes = re.findall(r"`[^`\n]*`", BLOCK.sub("", text))
    options = {option for code in codes for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", code)}
    assert options - all_options() - OTHER_OPTIONS == set()


@pytest.mark.parametrize("page", named(PAGES))
def test_the_targets_of_make_that_a_page_names_exist(page: Path):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    text = page.read_text(encoding="utf-8")
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.M)) <= targets


@pytest.mark.parametrize("page", named([page for page in PAGES if blocks_of(page, "yaml")]))
def test_the_configurations_of_a_page_are_valid(page: Path, tmp_path: Path):
    from shisen.training.config_file import load_config

    for block in blocks_of(page, "yaml"):
        assert block.title is not None, "an example of a configuration says what its file is called"
        (tmp_path / block.title).write_text(block.text, encoding="utf-8")
        load_config(tmp_path / block.title)


@pytest.mark.parametrize("page", named([DOCS / "guide" / "train.md", DOCS / "ja" / "guide" / "train.md"]))
def test_the_forms_of_parallel_text_are_valid(page: Path):
    from shisen.data.config import ParallelTextConfig

    forms = re.findall(r"`(\{source: [^`]*\})`", page.read_text(encoding="utf-8"))
    assert len(forms) >= 6
    for form in forms:
        ParallelTextConfig.model_validate(yaml.safe_load(form))


@pytest.mark.parametrize(
    "page",
    named(
        [
            DOCS / folder / name
            for folder in ("guide", "ja/guide")
            for name in ("train.md", "language-model.md")
        ]
    ),
)
def test_the_keys_that_a_page_names_exist(page: Path):
    from shisen.training.config import Config
    from shisen.training.config_file import all_keys

    keys = set(re.findall(r"`((?:data|model|training)(?:\.[a-z_]+)+)`", page.read_text(encoding="utf-8")))
    assert len(keys) > 10
    assert keys - {".".join(key) for key in all_keys(Config)} - {"model.safetensors"} == set()


@pytest.mark.parametrize("page", named(sorted(ROOT.glob("*.md"))))
def test_the_links_of_a_page_outside_the_site_lead_somewhere(page: Path):
    # MkDocs checks those within docs/.
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (ROOT / target).exists()] == []


@pytest.mark.parametrize("page", named(list(TRANSLATED)))
def test_the_japanese_page_has_the_same_parts_and_commands(page: Path):
    japanese = TRANSLATED[page]

    def headings(path: Path) -> list[int]:
        text = BLOCK.sub("", path.read_text(encoding="utf-8"))
        return [len(level) for level in re.findall(r"^(#+) ", text, re.M)]

    assert headings(japanese) == headings(page)
    assert [line.replace(" --language ja", "") for line in commands_of(japanese)] == commands_of(page)
    assert blocks_of(japanese, "yaml") == blocks_of(page, "yaml")
    assert len(blocks_of(japanese, "python")) == len(blocks_of(page, "python"))


# ---------------------------------------------------------------- what runs at once


def run_program(program: str, folder: Path) -> None:
    """Run a program in a folder, as a reader would: in a Python of its own."""
    result = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, f"{program}\n{result.stderr}"


@pytest.mark.parametrize(
    "page", named([page for page in PAGES if any(not needs_model(program) for program in programs_of(page))])
)
def test_the_programs_of_a_page_that_need_no_model_run(page: Path, tmp_path: Path):
    for program in programs_of(page):
        if not needs_model(program):
            run_program(program, tmp_path)


# ---------------------------------------------------------------- what needs a trained model

SMALL_RUN = (
    "--set training.max_steps=150 --set training.learning_rate=0.01 "
    "--set model.embedding_size=24 --set model.hidden_size=24"
)
SMALL_TRANSFORMER = (
    "--set training.max_steps=150 --set training.learning_rate=0.01 "
    "--set model.model_size=24 --set model.feed_forward_size=48"
)
# Stands for `shisen`: training is a matter of seconds with a small model, everything else is as written.
SHISEN = f"""#!/usr/bin/env bash
if [[ $1 == train && " $* " != *" --resume "* && " $* " != *" --print-config "* ]]; then
  if [[ $2 == *language-model* || $2 == *transformer* ]]; then
    set -- "$@" {SMALL_TRANSFORMER}
  else
    set -- "$@" {SMALL_RUN}
  fi
fi
exec {shlex.quote(sys.executable)} -m shisen "$@"
"""


def shell(line: str, folder: Path) -> None:
    """Run a line of shell in a folder where ``shisen`` is the stand-in."""
    environment = {**os.environ, "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    result = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", line],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert result.returncode == 0, f"{line}\n{result.stderr}"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages speak of: text, configurations, the demo's model, runs of one's own."""
    folder = tmp_path_factory.mktemp("workspace")
    (folder / "bin").mkdir()
    (folder / "bin" / "shisen").write_text(SHISEN, encoding="utf-8")
    (folder / "bin" / "shisen").chmod(0o755)
    for page in PAGES:
        for block in blocks_of(page, "yaml"):
            (folder / str(block.title)).write_text(block.text, encoding="utf-8")
    shell("shisen corpus generate --pairs 600 --max-words 12 --test-pairs 30 --out corpus", folder)
    shutil.copytree(folder / "corpus", folder / "text")
    shell("shisen train first.yaml --out runs/first", folder)
    for run in ("runs/demo/model", "runs/my-translation", "runs/general"):
        shutil.copytree(folder / "runs" / "first", folder / run)
    return folder


def makes(line: str) -> list[str]:
    """The files and folders that a line of shell makes, by its ``--out`` and ``>``."""
    words = shlex.split(line)
    return [words[i + 1] for i, word in enumerate(words[:-1]) if word in ("--out", "--attention", ">")]


@pytest.mark.slow
@pytest.mark.parametrize("page", named([page for page in TRANSLATED if page != DOCS / "architecture.md"]))
def test_the_examples_of_a_page_run(page: Path, workspace: Path, tmp_path: Path):
    folder = tmp_path / "workspace"
    shutil.copytree(workspace, folder)
    for line in commands_of(page):
        if not any(invocations_of(line)):
            continue  # of make, pip and the like
        is_going_on = "--resume" in line
        for made in makes(line):
            if (folder / made).is_dir() and not is_going_on:
                shutil.rmtree(folder / made)
        shell(line, folder)
        for made in makes(line):
            path = folder / made
            assert path.is_dir() or path.stat().st_size > 0, f"{line}: made no {made}"
    for program in programs_of(page):
        if needs_model(program):
            run_program(program, folder)
