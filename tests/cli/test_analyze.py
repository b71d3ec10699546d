"""`shisen analyze` on a small model of random parameters and on saved maps: what it writes and refuses."""

import json

import numpy as np
import pytest
import torch

from shisen.cli.main import main
from shisen.data.config import TokenizerConfig
from shisen.data.tokenizer import Tokenizer
from shisen.inspection import AttentionMap, save_maps
from shisen.model_directory import save_model
from shisen.models import build_model
from shisen.models.config import TransformerConfig
from shisen.pipelines import Translator

PAIRS = [("the cat sat", "猫 が 座っ た"), ("the dog sat", "犬 が 座っ た"), ("a cat ran", "猫 が 走っ た")]
GOLD = "1-0 2-2\n1-0 2-2\n1-0 2-2\n"


@pytest.fixture(scope="module")
def model_directory(tmp_path_factory):
    """A Transformer that has learned nothing."""
    directory = tmp_path_factory.mktemp("model")
    settings = TokenizerConfig(kind="word")
    source = Tokenizer.train([pair[0] for pair in PAIRS], settings)
    target = Tokenizer.train([pair[1] for pair in PAIRS], settings)
    config = TransformerConfig(
        model_size=8, heads=2, encoder_layers=2, decoder_layers=2, feed_forward_size=8, dropout=0.0
    )
    torch.manual_seed(0)
    model = build_model(config, len(source), len(target))
    generation = {"beam_size": 2, "length_penalty": 1.0, "max_length": 6}
    save_model(directory, model, source, target, {"model": config.model_dump()}, generation)
    return directory


@pytest.fixture
def data(tmp_path):
    file = tmp_path / "test.tsv"
    file.write_text("".join(f"{source}\t{target}\n" for source, target in PAIRS), encoding="utf-8")
    return file


def run(*arguments):
    with pytest.raises(SystemExit) as left:
        main(["analyze", *map(str, arguments)])
    return left.value.code


def refusal(capsys, *arguments):
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("shisen: error: ")
    assert err.count("\n") == 1
    return err


def test_it_writes_a_page_and_its_numbers(capsys, model_directory, data, tmp_path):
    out = tmp_path / "report"
    assert run(model_directory, "--data", data, "--out", out, "--language", "ja") == 0
    assert capsys.readouterr().out == f"{out / 'report.html'}\n"
    assert '<html lang="ja">' in (out / "report.html").read_text("utf-8")
    numbers = json.loads((out / "report.json").read_text("utf-8"))
    assert list(numbers["kinds"]) == ["cross", "encoder", "decoder"]
    assert numbers["sentences"] == 3
    assert numbers["facts"]["reads"] == "given"
    translator = Translator.load(model_directory)
    maps = [translator.force(source, target).attention["cross"] for source, target in PAIRS]
    expected = np.concatenate([one.weights.max(axis=-1).reshape(-1) for one in maps]).mean()
    mean = next(row for row in numbers["kinds"]["cross"]["overall"] if row["measure"] == "max_weight")["mean"]
    assert mean == pytest.approx(expected, abs=1e-5)


def test_the_alignment_is_that_of_evaluate(model_directory, data, tmp_path, capsys):
    gold, out = tmp_path / "gold", tmp_path / "report"
    gold.write_text(GOLD, "utf-8")
    assert run(model_directory, "--data", data, "--gold", gold, "--out", out, "--quiet") == 0
    assert capsys.readouterr().out == ""
    numbers = json.loads((out / "report.json").read_text("utf-8"))
    with pytest.raises(SystemExit):
        main([*f"evaluate {model_directory} --data {data} --align-gold {gold} --bootstrap 0 --json".split()])
    assert numbers["alignment"] == json.loads(capsys.readouterr().out)["alignment"]


def test_of_one_side_the_model_translates(model_directory, tmp_path, capsys):
    text, out = tmp_path / "text", tmp_path / "report"
    text.write_text("the cat sat\nthe dog sat\n", "utf-8")
    assert run(model_directory, "--data", text, "--sentences", 1, "--out", out) == 0
    numbers = json.loads((out / "report.json").read_text("utf-8"))
    assert (numbers["sentences"], numbers["facts"]["reads"]) == (1, "own")


def test_saved_maps_are_reported_on_without_a_model(tmp_path, capsys):
    file, out = tmp_path / "maps.attn.safetensors", tmp_path / "report"
    save_maps(file, [AttentionMap.from_arrays(np.eye(4), list("abcd"), list("abcd"), "encoder")] * 2)
    assert run(file, "--out", out) == 0
    numbers = json.loads((out / "report.json").read_text("utf-8"))
    assert list(numbers["kinds"]) == ["encoder"]
    assert numbers["sentences"] == 2


def test_attention_of_other_programs_is_reported_on_and_drawn(tmp_path, capsys):
    file, picture = tmp_path / "soft.marian", tmp_path / "soft.svg"
    file.write_text("猫 ||| 0.9,0.1 0.2,0.8\n", "utf-8")
    assert run(file, "--out", tmp_path / "report", "--quiet") == 0
    numbers = json.loads((tmp_path / "report/report.json").read_text("utf-8"))
    row = next(row for row in numbers["kinds"]["cross"]["overall"] if row["measure"] == "max_weight")
    assert row["mean"] == pytest.approx(0.85, abs=1e-6)
    with pytest.raises(SystemExit) as left:
        main(["plot", "attention", str(file), "--out", str(picture)])
    assert left.value.code == 0
    assert picture.read_bytes().startswith(b"<?xml")


def test_what_does_not_fit_is_one_line(model_directory, data, tmp_path, capsys):
    out = tmp_path / "report"
    text = tmp_path / "text"
    text.write_text("the cat\n", "utf-8")
    assert "--data is missing" in refusal(capsys, model_directory, "--out", out)
    asked = (model_directory, "--data", data, "--out", out)
    assert "one of en, ja" in refusal(capsys, *asked, "--language", "fr")
    assert "--one-based" in refusal(capsys, *asked, "--one-based")
    assert "one side only" in refusal(capsys, model_directory, "--data", text, "--out", out, "--gold", text)
    assert "is a file" in refusal(capsys, model_directory, "--data", data, "--out", text)
    assert "there is no directory" in refusal(
        capsys, model_directory, "--data", data, "--out", out / "a" / "b"
    )
    maps = tmp_path / "maps.attn.safetensors"
    maps.write_bytes(b"nothing")
    assert "not a whole file" in refusal(capsys, maps, "--out", out)
    assert "--data is for models" in refusal(capsys, maps, "--data", data, "--out", out)
    assert not out.exists()
