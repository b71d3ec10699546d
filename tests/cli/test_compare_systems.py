"""`shisen compare-systems` of files and models: the table, the record, and what is refused."""

import gzip
import json

import pytest

from shisen.cli.main import main
from small_model import SOURCES, save_small_model

REFERENCES = [f"the cat number {number} sat on the big mat with it" for number in range(30)]
NEAR = [line.replace("big", "red") if number % 3 else line for number, line in enumerate(REFERENCES)]
FAR = [line.replace("cat", "dog").replace("sat on", "ran to") for line in REFERENCES]


@pytest.fixture
def files(tmp_path):
    texts = {"reference": REFERENCES, "near": NEAR, "far": FAR, "short": FAR[:7]}
    for name, lines in texts.items():
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return tmp_path


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as left:
        main(["compare-systems", *map(str, arguments)])
    captured = capsys.readouterr()
    return left.value.code, captured.out, captured.err


def test_the_table_shows_the_baseline_the_difference_and_its_p_value(capsys, files):
    code, out, err = run(
        capsys, files / "near", files / "far", "--reference", files / "reference", "--draws", 99
    )
    assert code == 0
    assert err.startswith("BLEU's tokenisation is 13a")
    blocks = out.split("\n\n")
    assert [block.split()[0] for block in blocks] == ["BLEU", "chrF2", "TER"]
    signature, baseline, system = blocks[0].strip().splitlines()
    assert "bs:99" in signature
    assert baseline.endswith("baseline")
    assert system.endswith("p = 0.0100")  # none of 99 draws came near: (0 + 1) / (99 + 1)


@pytest.mark.parametrize("test", ["bootstrap", "randomisation"])
def test_json_holds_the_comparison_and_how_it_was_made(capsys, files, test):
    out_file = files / "comparison.json"
    code, out, err = run(
        capsys, files / "near", files / "far", "--reference", files / "reference", "--draws", 64,
        "--test", test, "--tokenize", "none", "--out", out_file, "--json",
    )  # fmt: skip
    report = json.loads(out)
    assert (code, err) == (0, "")
    assert json.loads(out_file.read_text("utf-8")) == report
    near, far = report["systems"]
    assert "p_value" not in near["bleu"]
    assert far["bleu"]["difference"] == pytest.approx(far["bleu"]["score"] - near["bleu"]["score"])
    assert far["bleu"]["p_value"] <= 0.05
    assert report["settings"]["test"] == test
    assert report["settings"]["draws"] == 64
    assert report["model_fingerprints"] == [None, None]


def test_a_file_and_a_data_set_with_both_sides_compare_the_same(capsys, files):
    pairs = files / "pairs.tsv"
    pairs.write_text("".join(f"x\t{line}\n" for line in REFERENCES), encoding="utf-8")
    common = [files / "near", files / "far", "--draws", 20, "--json"]
    _, by_data, _ = run(capsys, *common, "--data", pairs)
    _, by_reference, _ = run(capsys, *common, "--reference", files / "reference")
    assert json.loads(by_data)["systems"] == json.loads(by_reference)["systems"]


def test_the_same_translations_are_as_good_as_each_other(capsys, files):
    near, reference = files / "near", files / "reference"
    code, out, _ = run(capsys, near, near, "--reference", reference, "--draws", 20)
    assert code == 0
    assert out.count("+0.00  p = 1.0000") == 3


def test_files_are_read_as_any_text_zipped_or_with_a_byte_order_mark(capsys, files):
    content = (files / "far").read_bytes()
    (files / "zipped").write_bytes(gzip.compress(content))
    (files / "marked").write_bytes(b"\xef\xbb\xbf" + content)
    code, out, _ = run(
        capsys, *(files / name for name in ("far", "zipped", "marked")), "--reference", files / "reference",
        "--draws", 20, "--json",
    )  # fmt: skip
    assert code == 0
    assert len({system["chrf"]["score"] for system in json.loads(out)["systems"]}) == 1


def test_a_model_is_compared_with_a_file_and_sentences_too_long_are_refused_first(
    capsys, monkeypatch, tmp_path
):
    model = save_small_model(tmp_path / "model")
    (tmp_path / "pairs.tsv").write_text("".join(f"{line}\t猫\n" for line in SOURCES), encoding="utf-8")
    (tmp_path / "file").write_text("猫\n" * len(SOURCES), encoding="utf-8")
    data = ["--data", tmp_path / "pairs.tsv", "--draws", 5]
    arguments = [tmp_path / "file", model, *data, "--tokenize", "none"]
    code, out, _ = run(capsys, *arguments, "--device", "cpu", "--beam-size", 1)
    assert code == 0
    assert "p = " in out
    monkeypatch.setattr("shisen.pipelines.Translator.translate", lambda *_, **__: pytest.fail("too early"))
    code, _, err = run(capsys, *arguments, "--max-source-length", 2)
    assert code == 2
    assert "source sentence 1: " in err
    code, _, err = run(capsys, *arguments[:-1], "13b")
    assert code == 2
    assert "unknown tokenisation" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["near"], "two systems or more"),
        (["near", "short", "--reference", "reference"], "short has 7 lines, but there are 30 references"),
        (["near", "far"], "give --reference or --data"),
        (
            ["near", ".", "--reference", "reference"],
            "is a model directory, which needs source sentences: give --data",
        ),
        (["near", "nowhere", "--reference", "reference"], "nowhere: cannot be read (No such file"),
        (["near", "far", "--reference", "reference", "--test", "sign"], "unknown test 'sign'"),
        (["near", "far", "--reference", "reference", "--draws", "0"], "--draws"),
        (["near", "latin", "--reference", "reference"], "latin, line 2: not UTF-8"),
        (
            ["near", "far", "--reference", "reference", "--tokenize", "13b"],
            "unknown tokenisation '13b'",
        ),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(capsys, files, monkeypatch, arguments, message):
    monkeypatch.chdir(files)
    (files / "latin").write_bytes("ok\nKöln\n".encode("latin-1"))
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert message in err.splitlines()[-1]
