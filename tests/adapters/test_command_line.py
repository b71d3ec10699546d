"""``hf:PATH_OR_ID`` on the command line, where a model directory could stand."""

import json

import pytest
from small_models import SENTENCES, image_processor, make, picture, tokenizer_of

from shisen.cli.main import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Saved models by their names, sentences and pairs."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("bert", "gpt2", "bart", "vit"):
        make(name).save_pretrained(folder / name)
        (image_processor() if name == "vit" else tokenizer_of(name)).save_pretrained(folder / name)
    (folder / "lines.txt").write_text("\n".join([*SENTENCES, ""]) + "\n")
    (folder / "pairs.tsv").write_text("the cat sat\ta dog\nI love books\tthe mat\n")
    from PIL import Image

    Image.fromarray(picture()).save(folder / "picture.png")
    return folder


@pytest.fixture(autouse=True)
def _inside(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def run(*arguments):
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    return left.value.code


@pytest.mark.parametrize(
    ("model", "sentence", "options"),
    [
        ("hf:bert", "the cat sat", []),
        ("hf:gpt2", "the cat sat", ["--grid"]),
        ("hf:./bart", "the cat sat", ["--translation", "a dog"]),
        ("hf:bart", "the cat sat", ["--translation", "a dog", "--kind", "decoder"]),
        ("hf:vit", "picture.png", ["--layer", "1", "--head", "0"]),
    ],
)
def test_a_model_is_drawn(model, sentence, options, tmp_path):
    out = tmp_path / "map.svg"
    assert run("plot", "attention", model, sentence, *options, "--out", str(out)) == 0
    assert out.stat().st_size > 1000


@pytest.mark.parametrize(
    ("model", "data", "kinds"),
    [
        ("hf:bert", "lines.txt", {"encoder"}),
        ("hf:gpt2", "lines.txt", {"decoder"}),
        ("hf:bart", "pairs.tsv", {"encoder", "decoder", "cross"}),
    ],
)
@pytest.mark.parametrize("verb", ["analyze", "heads"])
def test_a_model_is_reported_on(verb, model, data, kinds, tmp_path, capsys):
    assert run(verb, model, "--data", data, "--out", str(tmp_path / "report")) == 0
    name = {"analyze": "report", "heads": "heads"}[verb]
    report = json.loads((tmp_path / "report" / f"{name}.json").read_text("utf-8"))
    assert kinds <= set(json.dumps(report).replace('"', " ").split())
    assert "model" in json.dumps(report)
    assert (tmp_path / "report" / f"{name}.html").is_file()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("analyze hf:bert --data lines.txt --faithfulness", "--faithfulness is for models of shisen's own"),
        ("analyze hf:bert --data pairs.tsv", "BertModel has one side"),
        ("analyze hf:./none --data lines.txt", "there is no such directory"),
        ("heads hf:bart --data pairs.tsv --importance", "--importance is for models of shisen's own"),
        ("plot attention hf:bert the --kind cross", "no attention of the kind cross; it has encoder"),
        ("plot attention hf:bert", "a sentence is missing"),
        ("plot attention hf:none/such the", "transformers cannot open it"),
    ],
)
def test_a_mistake_is_one_line(command, words, tmp_path, capsys):
    out = tmp_path / ("map.svg" if command.startswith("plot") else "report")
    assert run(*command.split(), "--out", str(out)) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("shisen: error: ")
    assert words in error
    assert not out.exists()
