"""`shisen heads` on a small model of random parameters and on saved maps: table, files, options."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from shisen.cli.main import main
from shisen.inspection import recognize_patterns, save_maps
from shisen.inspection.value_weighted import value_weighted_attention
from shisen.pipelines import Translator
from small_model import SOURCES, TARGETS, save_small_model, save_small_transformer

PAIRS = list(zip(SOURCES, TARGETS, strict=True))


@pytest.fixture(scope="module")
def transformer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_transformer(tmp_path_factory.mktemp("transformer"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    file = tmp_path / "test.tsv"
    file.write_text("".join(f"{source}\t{target}\n" for source, target in PAIRS), encoding="utf-8")
    return file


def run(*arguments) -> int:
    with pytest.raises(SystemExit) as left:
        main(["heads", *map(str, arguments)])
    return left.value.code


def table_of(out: Path) -> list[dict[str, str]]:
    with (out / "heads.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_that_is_printed_is_that_of_the_file_and_of_the_maps(capsys, transformer, data, tmp_path):
    out = tmp_path / "heads"
    assert run(transformer, "--data", data, "--out", out) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == str(out / "heads.html")
    rows = table_of(out)
    assert [line.split()[:4] for line in lines[1:-1]] == [
        [row["kind"], row["layer"], row["head"], row["pattern"]] for row in rows
    ]
    translator = Translator.load(transformer)
    maps = [translator.force(*pair).attention["cross"] for pair in PAIRS]
    names = [name for layer in recognize_patterns(maps).names for name in layer]
    assert [row["pattern"] for row in rows if row["kind"] == "cross"] == names


def test_by_values_the_heads_are_those_of_the_weighted_maps(capsys, transformer, data, tmp_path):
    out = tmp_path / "heads"
    assert run(transformer, "--data", data, "--by-values", "--out", out, "--quiet") == 0
    assert capsys.readouterr().out == ""
    translator = Translator.load(transformer)
    maps = [value_weighted_attention(translator, *pair)["encoder"] for pair in PAIRS]
    expected = recognize_patterns(maps).confidence.ravel()
    found = [float(row["confidence"]) for row in table_of(out) if row["kind"] == "encoder"]
    assert found == pytest.approx(expected.tolist(), abs=1e-4)
    assert json.loads((out / "heads.json").read_text("utf-8"))["facts"]["measure"] == "value-weighted"


def test_a_recurrent_model_has_one_head_and_an_empty_line_none(data, tmp_path):
    model = save_small_model(tmp_path / "model")
    lines = tmp_path / "lines"
    lines.write_text("the cat sat\n\na dog ran\n", encoding="utf-8")
    for options in ([], ["--by-values"]):
        out = tmp_path / f"heads{len(options)}"
        assert run(model, "--data", lines, "--out", out, "--quiet", *options) == 0
        assert [(row["kind"], row["layer"], row["head"]) for row in table_of(out)] == [("cross", "0", "0")]


def test_saved_maps_are_looked_at_as_they_are(transformer, tmp_path):
    translator = Translator.load(transformer)
    maps = [translator.force(*pair).attention["decoder"] for pair in PAIRS]
    file, out = tmp_path / "test.attn.safetensors", tmp_path / "heads"
    save_maps(file, maps)
    assert run(file, "--out", out, "--sentences", 2, "--language", "ja", "--quiet") == 0
    rows = table_of(out)
    assert {row["kind"] for row in rows} == {"decoder"}
    expected = recognize_patterns(maps[:2]).scores
    best = [float(row[row["pattern"]]) for row in rows]
    assert best == pytest.approx(np.max(expected, -1).ravel().tolist(), abs=1e-6)
    assert '<html lang="ja">' in (out / "heads.html").read_text("utf-8")
