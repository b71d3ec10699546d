"""``shisen export``: what it prints, and that what it writes is translated with and evaluated."""

import io
import sys

import pytest

from shisen.cli.main import main
from small_model import SOURCES, TARGETS, save_small_transformer

pytest.importorskip("ctranslate2", reason="the extra ctranslate2 is not installed")


@pytest.fixture
def run(monkeypatch, capsysbinary):
    """Run a command on standard input: (exit code, standard output, standard error)."""

    def command(*arguments: object, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        with pytest.raises(SystemExit) as left:
            main([*map(str, arguments)])
        captured = capsysbinary.readouterr()
        return left.value.code, captured.out.decode(), captured.err.decode()

    return command


def test_an_exported_model_is_translated_with_and_evaluated(run, tmp_path):
    model, out = save_small_transformer(tmp_path / "model"), tmp_path / "out"
    code, printed, errors = run("export", model, "--to", "ctranslate2", "--out", out)
    assert (code, errors) == (0, "")
    assert printed.startswith(f"{out}: ctranslate2, float32, ")
    lines = "".join(f"{line}\n" for line in [*SOURCES, ""])
    ours = run("translate", model, "--beam-size", 1, stdin=lines)
    assert run("translate", out, "--beam-size", 1, stdin=lines) == ours
    assert run("translate", out, "--beam-size", 1, "--engine", "ctranslate2", stdin=lines) == ours
    (tmp_path / "test.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in zip(SOURCES, TARGETS, strict=True)))
    options = ("--data", tmp_path / "test.tsv", "--beam-size", 1, "--bootstrap", 0, "--json")
    code, report, _ = run("evaluate", out, *options)
    assert code == 0
    assert '"engine": "ctranslate2"' in report


def test_attention_of_an_exported_model_is_saved_with_where_it_comes_from(run, tmp_path):
    from shisen.inspection.map_file import load_maps

    model, out = save_small_transformer(tmp_path / "model"), tmp_path / "out"
    run("export", model, "--to", "ctranslate2", "--out", out)
    code, _, _ = run(
        "translate", out, "--attention", tmp_path / "a.attn.safetensors", stdin=f"{SOURCES[0]}\n"
    )
    assert code == 0
    (one,) = load_maps(tmp_path / "a.attn.safetensors")
    assert one.kind == "cross"
    assert (one.metadata["engine"], one.metadata["heads"], one.metadata["line"]) == (
        "ctranslate2",
        "mean of 4",
        1,
    )
