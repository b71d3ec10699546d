"""``shisen generate`` and ``shisen perplexity``: prompts, streams, JSON, attention in a file, bad input."""

import io
import json
import sys
from pathlib import Path

import pytest

from shisen import TextGenerator
from shisen.cli.main import main
from shisen.inspection.map_file import load_maps
from small_model import save_small_model
from small_text_model import TEXTS, save_small_text_model


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return save_small_text_model(tmp_path_factory.mktemp("small") / "model", {"max_length": 6})


@pytest.fixture
def run(monkeypatch, capsysbinary):
    """Run a command on standard input: (exit code, standard output, standard error)."""

    def command(*arguments: object, stdin: bytes = b"") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as left:
            main(list(map(str, arguments)))
        captured = capsysbinary.readouterr()
        return left.value.code, captured.out.decode(), captured.err.decode()

    return command


def test_there_is_a_line_for_each_prompt_in_order(model, run):
    prompts = ["the cat", "", "you"]
    code, out, err = run("generate", model, *prompts, "--seed", 7)
    assert (code, err) == (0, "")
    assert out.split("\n") == [*(one.text for one in TextGenerator.load(model).generate(prompts, seed=7)), ""]
    stream = "".join(f"{prompt}\n" for prompt in prompts).encode()
    assert run("generate", model, "-", "--seed", 7, stdin=stream) == (0, out, "")
    assert run("generate", model, "--seed", 7, "--batch-size", 1, stdin=stream) == (0, out, "")
    assert run("generate", model) == (0, "", "")


def test_several_texts_of_a_prompt_have_tabs_between(model, run):
    _, drawn, _ = run("generate", model, "you", "--samples", 3, "--temperature", 1.5, "--top-k", 5)
    assert drawn.count("\t") == 2
    _, found, _ = run("generate", model, "you", "--n-best", 2, "--beam-size", 3)
    expected = TextGenerator.load(model).generate("you", samples=2, beam_size=3)
    assert found == "\t".join(one.text for one in expected.alternatives) + "\n"


def test_json_lines_hold_what_the_generator_gives(model, run):
    _, out, _ = run("generate", model, "the cat", "you", "--json", "--max-length", 3, "--top-p", 0.9)
    expected = TextGenerator.load(model).generate(["the cat", "you"], max_length=3, top_p=0.9)
    for line, one in zip(out.splitlines(), expected, strict=True):
        assert json.loads(line)["tokens"] == list(one.tokens)
        assert json.loads(line).keys() == one.as_dict().keys()


def test_the_attention_of_all_texts_goes_to_one_file(model, run, tmp_path):
    path = tmp_path / "maps.attn.safetensors"
    assert run("generate", model, "the cat", "", "--attention", path)[0] == 0
    maps = load_maps(path)
    assert [one.metadata["line"] for one in maps] == [1, 2]
    assert [one.metadata["prompt_tokens"] for one in maps] == [2, 0]
    assert {one.kind for one in maps} == {"decoder"}
    picture = tmp_path / "a.svg"
    assert run("plot", "attention", path, "--number", 1, "--out", picture) == (0, "", "")
    assert picture.stat().st_size > 3000


def test_a_sentence_that_a_language_model_reads_is_drawn(model, run, tmp_path):
    assert run("plot", "attention", model, TEXTS[0], "--out", tmp_path / "a.svg") == (0, "", "")
    options = ["--kind", "decoder", "--layer", 1, "--head", 0, "--out", tmp_path / "b.png"]
    assert run("plot", "attention", model, TEXTS[0], *options) == (0, "", "")


def test_the_perplexity_of_a_text_is_printed_and_written(model, run, tmp_path):
    text = tmp_path / "text"
    text.write_text("\n".join([*TEXTS[:2], "", *TEXTS[2:]]))
    code, table, err = run("perplexity", model, "--data", text)
    assert (code, err) == (0, "")
    _, out, _ = run("perplexity", model, "--data", text, "--json", "--out", tmp_path / "report.json")
    report = json.loads(out)
    assert (tmp_path / "report.json").read_text() == out
    assert (report["lines"], report["unknown_tokens"]) == (4, 0)
    for key in ("perplexity", "word_perplexity", "bits_per_character"):
        assert report[key] > 0
    assert f"{report['perplexity']:,.2f}" in table
    assert f"{report['bits_per_character']:.4f}" in table
    assert report["model_fingerprint"] == TextGenerator.load(model).fingerprint
    table = tmp_path / "text.tsv"
    table.write_text("".join(f"{number}\t{line}\n" for number, line in enumerate(TEXTS)))
    _, out, _ = run("perplexity", model, "--data", table, "--column", 2, "--json")
    assert json.loads(out)["perplexity"] == report["perplexity"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generate", "nowhere", "a"], "model directory nowhere does not exist"),
        (["generate", "MODEL", "a\x00"], "the prompt cannot be read: a NUL byte at character 2"),
        (["generate", "MODEL", "a", "--beam-size", 2, "--top-k", 3], "--top-k shapes what is drawn"),
        (["generate", "MODEL", "a", "--beam-size", 2, "--samples", 3], "--samples 3 needs a --beam-size of"),
        (["generate", "MODEL", "a", "--temperature", 0], "temperature is 0.0; it must be above 0"),
        (["generate", "MODEL", "a", "--max-length", 0], "--max-length"),
        (["generate", "MODEL", "a", "a dog", "--max-prompt-length", 1], "prompt 2: 2 tokens; the longest"),
        (["generate", "MODEL", "a", "--attention", "no/where"], "there is no directory"),
        (["generate", "TRANSLATOR", "a"], "a model that translates, not a language model: use shisen transl"),
        (["perplexity", "TRANSLATOR", "--data", "text"], "a model that translates, not a language model"),
        (["perplexity", "MODEL", "--data", "nowhere"], "nowhere: no such file"),
        (["perplexity", "MODEL", "--data", ""], "--data is empty"),
        (["perplexity", "MODEL", "--data", "empty"], "empty: no lines; it is empty"),
        (["perplexity", "MODEL", "--data", "text", "--max-prompt-length", 1], "text, text 1: 2 tokens"),
        (["translate", "MODEL", "text"], "a language model, which does not translate: use shisen generate"),
        (["evaluate", "MODEL", "--data", "text"], "a language model, which does not translate: use shisen p"),
        (
            ["plot", "attention", "MODEL", "a dog", "--translation", "b", "--out", "a.png"],
            "which reads one se",
        ),
        (["plot", "attention", "MODEL", "a dog", "--kind", "cross", "--out", "a.png"], "it has decoder"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(model, run, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text("a dog\n")
    (tmp_path / "empty").write_text("\n")
    places = {"MODEL": model, "TRANSLATOR": save_small_model(tmp_path / "translator")}
    before = {path.name for path in tmp_path.iterdir()}
    code, out, err = run(*(places.get(argument, argument) for argument in arguments))
    assert code == 2, err
    assert message in err
    assert err.count("\n") == 1
    assert not out or arguments[1:3] == ["MODEL", "a"]
    assert {path.name for path in tmp_path.iterdir()} == before


def test_a_long_line_of_a_stream_is_named_after_those_before_it(model, run):
    code, out, err = run("generate", model, "--max-prompt-length", 1, stdin=b"you\na\nthe cat\n")
    assert code == 2
    assert len(out.splitlines()) == 2
    assert err.startswith("shisen: error: standard input, line 3: 2 tokens")
