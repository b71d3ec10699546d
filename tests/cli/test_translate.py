"""``shisen translate``: a line for a line, streams, JSON, attention in a file, bad input."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shisen.cli.main import main
from shisen.inspection.map_file import load_maps
from shisen.pipelines import Translator
from small_model import SOURCES, save_small_model

LINES = ["the cat sat on the mat .", "", "a dog ran .", "  ", "you read books ."]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return save_small_model(tmp_path_factory.mktemp("small") / "model")


@pytest.fixture
def run(monkeypatch, capsysbinary):
    """Run the command on standard input: (exit code, standard output, standard error)."""

    def command(*arguments: object, stdin: bytes = b"") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as left:
            main(["translate", *map(str, arguments)])
        captured = capsysbinary.readouterr()
        return left.value.code, captured.out.decode(), captured.err.decode()

    return command


def text_of(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def test_there_is_a_line_of_output_for_each_line_of_input_in_order(model, run):
    code, out, err = run(model, stdin=text_of(*LINES))
    assert (code, err) == (0, "")
    expected = [one.text for one in Translator.load(model).translate(LINES)]
    assert out.split("\n") == [*expected, ""]
    assert (expected[1], expected[3]) == ("", "")
    assert all(expected[line] for line in (0, 2, 4))


def test_a_file_and_a_last_line_without_end_are_the_same(model, run, tmp_path):
    path = tmp_path / "text"
    path.write_bytes(text_of(*LINES)[:-1])
    assert run(model, path) == run(model, "-", stdin=text_of(*LINES))


def test_no_input_is_no_output(model, run):
    assert run(model) == (0, "", "")


def test_small_batches_and_chunks_change_nothing(model, run):
    assert run(model, "--batch-size", 1, stdin=text_of(*LINES * 2)) == run(model, stdin=text_of(*LINES * 2))


def test_json_lines_hold_what_the_translator_gives(model, run):
    _, out, _ = run(model, "--json", "--n-best", 2, "--length-penalty", 0.3, stdin=text_of(*LINES))
    translations = Translator.load(model).translate(LINES, n_best=2, length_penalty=0.3)
    for line, translation in zip(out.splitlines(), translations, strict=True):
        entries, expected = json.loads(line), translation.as_dict()
        assert entries.keys() == expected.keys()
        assert entries["tokens"] == expected["tokens"]
        assert entries["model"] == expected["model"]
        assert entries["score"] == pytest.approx(expected["score"], abs=1e-4)
        np.testing.assert_allclose(entries["log_probabilities"], expected["log_probabilities"], atol=1e-3)
        assert entries["attention"].keys() == expected["attention"].keys()
        assert len(entries.get("hypotheses", [])) == (2 if translation.tokens else 0)


def test_the_n_best_are_on_one_line_with_tabs_between(model, run):
    _, out, _ = run(model, "--n-best", 3, "--beam-size", 4, stdin=text_of(*LINES))
    lines = out.split("\n")
    assert [len(line.split("\t")) for line in lines[:-1]] == [3, 1, 3, 1, 3]
    assert lines[1] == ""


def test_the_attention_of_all_lines_goes_to_one_file(model, run, tmp_path):
    path = tmp_path / "all.attn.safetensors"
    code, out, _ = run(model, "--attention", path, stdin=text_of(*LINES))
    assert code == 0
    maps = load_maps(path)
    assert [one.metadata["line"] for one in maps] == [1, 3, 5]
    texts = out.split("\n")
    for one in maps:
        line = int(one.metadata["line"]) - 1
        assert " ".join(one.query_tokens[:-1]) == texts[line]
        assert one.key_tokens == (*LINES[line].split(), "</s>")
        np.testing.assert_allclose(one.weights.sum(-1), 1, atol=1e-5)


def test_output_goes_to_a_file_when_it_is_whole(model, run, tmp_path):
    path = tmp_path / "out.txt"
    assert run(model, "--output", path, stdin=text_of(*LINES)) == (0, "", "")
    assert path.read_text("utf-8") == run(model, stdin=text_of(*LINES))[1]
    path.write_text("as it was", "utf-8")
    code, _, _ = run(model, "--output", path, stdin=text_of(*LINES) + b"\xff\n")
    assert code == 2
    assert path.read_text("utf-8") == "as it was"
    assert sorted(tmp_path.iterdir()) == [path]


def test_a_device_is_written_to_and_not_replaced(model, run):
    assert run(model, "--output", os.devnull, stdin=text_of(*LINES)) == (0, "", "")
    assert Path(os.devnull).is_char_device()


def test_options_of_decoding_reach_it(model, run):
    _, out, _ = run(model, "--max-length", 2, "--min-length", 2, stdin=text_of(*SOURCES))
    assert all(len(line.split()) == 2 for line in out.splitlines())
    _, out, _ = run(model, "--min-length", 8, "--no-repeat-ngram", 1, stdin=text_of(*SOURCES))
    assert all(len(line.split()) == len(set(line.split())) >= 8 for line in out.splitlines())


def test_samples_follow_the_seed(model, run):
    def sampled(*options: object) -> str:
        return run(model, "--sample", "--temperature", 2.0, *options, stdin=text_of(*SOURCES))[1]

    assert sampled("--seed", 1) == sampled("--seed", 1, "--batch-size", 1)
    assert sampled("--seed", 1) != sampled("--seed", 2)
    greedy = run(model, "--beam-size", 1, stdin=text_of(*SOURCES))[1]
    assert sampled("--top-k", 1) == sampled("--top-p", 1e-9) == greedy


def test_unknown_words_are_replaced_when_asked(run, tmp_path):
    model = save_small_model(tmp_path / "model", says_unknown=True)
    _, out, _ = run(model, "--max-length", 2, stdin=b"the Zyxgrad ran .\n")
    assert out == "<unk> <unk>\n"
    _, out, _ = run(model, "--max-length", 2, "--replace-unknown", stdin=b"Zyxgrad\n")
    assert out == "Zyxgrad Zyxgrad\n"
    _, out, _ = run(model, "--forbid-unknown", stdin=b"the Zyxgrad ran .\n")
    assert "<unk>" not in out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"caf\xe9", "not UTF-8 (byte 0xe9 at position 4)"),
        (b"a\x00b", "a NUL byte at character 2"),
        (b"cat " * 100_000, "100,000 tokens; the longest sentence that is translated has 1,024"),
    ],
    ids=["encoding", "NUL", "long"],
)
@pytest.mark.parametrize("is_file", [False, True])
def test_a_bad_line_is_named_after_the_lines_before_it(model, run, tmp_path, line, message, is_file):
    data = text_of("a dog ran .", "") + line + text_of("", "never reached")
    path = tmp_path / "text"
    path.write_bytes(data)
    maps = tmp_path / "maps.attn.safetensors"
    source = [path] if is_file else []
    code, out, err = run(model, *source, "--attention", maps, stdin=data)
    assert code == 2
    assert out.split("\n") == [Translator.load(model).translate("a dog ran .").text, "", ""]
    assert err.startswith(f"shisen: error: {path if is_file else 'standard input'}, line 3: {message}")
    assert err.count("\n") == 1
    assert not maps.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere does not exist"),
        (["{model}", "nothing.txt"], "nothing.txt: cannot be read (No such file or directory)"),
        (["{model}", "{model}"], "cannot be read (Is a directory)"),
        (["{model}", "--beam-size", "0"], "--beam-size"),
        (["{model}", "--beam-size", "2", "--n-best", "3"], "n_best is 3, but a beam of 2"),
        (["{model}", "--top-k", "5"], "--top-k shapes --sample, which was not given"),
        (["{model}", "--sample", "--beam-size", "3"], "--sample draws instead"),
        (["{model}", "--sample", "--top-p", "1.5"], "top_p is 1.5; it must be above 0 and at most 1"),
        (["{model}", "--sample", "--temperature", "0"], "temperature is 0.0; it must be above 0"),
        (["{model}", "--max-length", "2", "--min-length", "3"], "max_length is 2, less than min_length, 3"),
        (["{model}", "--output", "no/such/place"], "there is no directory"),
        (["{model}", "--attention", "{model}"], "is a directory; a file to write is wanted"),
        (["{model}", "--device", "abacus"], "no device 'abacus' here"),
        ([], "Missing argument"),
    ],
)
def test_wrong_usage_is_one_clear_line_and_exit_2(model, run, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*[argument.format(model=model) for argument in arguments], stdin=b"a dog .\n")
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("shisen: error: ")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_one_clear_line_and_exit_1(model, run):
    code, _, err = run(model, "--output", "/dev/full", stdin=b"a dog .\n")
    assert code == 1
    assert err == "shisen: error: /dev/full could not be written: No space left on device\n"


def test_a_line_is_answered_before_the_next_is_written(model):
    process = subprocess.Popen(
        [sys.executable, "-m", "shisen", "translate", str(model)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    expected = [one.text for one in Translator.load(model).translate(SOURCES[:2])]
    for line, translation in zip(SOURCES, expected, strict=False):
        process.stdin.write(text_of(line))
        process.stdin.flush()
        assert process.stdout.readline().decode() == f"{translation}\n"
    rest, _ = process.communicate()
    assert rest == b""
    assert process.returncode == 0
