"""`shisen evaluate` on a small model of random parameters: what it prints, writes and refuses."""

import gzip
import json
import math

import pytest
import torch

from shisen.cli.main import main
from shisen.data.config import TokenizerConfig
from shisen.data.tokenizer import Tokenizer
from shisen.model_directory import save_model
from shisen.models import build_model
from shisen.models.config import RecurrentConfig

PAIRS = [("the cat sat", "猫 が 座っ た"), ("the dog sat", "犬 が 座っ た"), ("a cat ran", "猫 が 走っ た")]


@pytest.fixture(scope="module")
def model_directory(tmp_path_factory):
    """A model that has learned nothing: what it says is noise, but the same noise every time."""
    directory = tmp_path_factory.mktemp("model")
    settings = TokenizerConfig(kind="word")
    source = Tokenizer.train([pair[0] for pair in PAIRS], settings)
    target = Tokenizer.train([pair[1] for pair in PAIRS], settings)
    config = RecurrentConfig(embedding_size=8, hidden_size=8, attention_size=8, dropout=0.0)
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


def run(capsys, *arguments):
    """The exit code, standard output and standard error of one command."""
    words = ["evaluate", *map(str, arguments)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["shisen", *words])  # what the report quotes as the command
        with pytest.raises(SystemExit) as left:
            main(words)
    captured = capsys.readouterr()
    return left.value.code, captured.out, captured.err


def refusal(capsys, *arguments):
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("shisen: error: ")
    assert err.count("\n") == 1
    return err


def test_the_table_has_every_score_with_its_signature(capsys, model_directory, data):
    code, out, err = run(capsys, model_directory, "--data", data, "--bootstrap", 20)
    assert code == 0
    names = [line.split()[0] for line in out.splitlines()]
    assert names == ["BLEU", "chrF2", "TER", "perplexity", "length", "sentences"]
    assert "bs:20" in out
    assert "tok:none" in out
    assert err == (
        "BLEU's tokenisation is none: the model's words are split by blanks, so they are compared as they "
        "are (--tokenize changes it)\n"
    )


def test_json_holds_the_numbers_and_how_they_were_made(capsys, model_directory, data, tmp_path):
    out_file, hypotheses = tmp_path / "scores.json", tmp_path / "hypotheses"
    gold = tmp_path / "gold"
    gold.write_text("2-1 3-3 3-4\n2-1 3-3\n\n", encoding="utf-8")
    code, out, _ = run(
        capsys, model_directory, "--data", data, "--align-gold", gold, "--one-based", "--beam-size", 1,
        "--bootstrap", 0, "--out", out_file, "--hypotheses", hypotheses, "--json",
    )  # fmt: skip
    report = json.loads(out)
    assert code == 0
    assert json.loads(out_file.read_text("utf-8")) == report
    assert report["sentences"] == len(PAIRS) == len(hypotheses.read_text("utf-8").splitlines())
    assert report["alignment"]["sure_links"] == 5
    assert report["alignment"]["predicted_links"] == 12  # each word of the three references has one
    assert report["settings"]["decoding"]["beam_size"] == 1
    assert report["settings"]["decoding"]["max_length"] == 6
    assert report["bleu"]["interval"] == [report["bleu"]["score"]] * 2
    assert len(report["model_fingerprint"]) == len(report["data_fingerprint"]) == 16
    assert report["command"].startswith("shisen evaluate ")
    assert report["model"] == str(model_directory)


def test_perplexity_is_that_of_the_loss(capsys, model_directory, data):
    from shisen.data.batches import Batch
    from shisen.data.vocabulary import BEGIN, END, PADDING
    from shisen.model_directory import load_model

    loaded = load_model(model_directory)
    loss, tokens = 0.0, 0
    for source, target in PAIRS:
        source_ids = [*loaded.source_tokenizer.encode(source), END]
        target_ids = [BEGIN, *loaded.target_tokenizer.encode(target), END]
        assert PADDING not in target_ids
        batch = Batch(torch.tensor([source_ids]), torch.tensor([target_ids]), torch.tensor([0]))
        output = loaded.model.loss(batch, label_smoothing=0.0)
        loss, tokens = loss + output.loss.item(), tokens + output.tokens
    _, out, _ = run(capsys, model_directory, "--data", data, "--bootstrap", 0, "--json")
    assert json.loads(out)["perplexity"] == pytest.approx(math.exp(loss / tokens), rel=1e-4)


def test_two_files_a_packed_file_and_a_small_batch_give_the_same(capsys, model_directory, data, tmp_path):
    for side, name in enumerate(("source", "reference")):
        (tmp_path / name).write_text("".join(pair[side] + "\n" for pair in PAIRS), encoding="utf-8")
    packed = tmp_path / "packed.tsv.gz"
    packed.write_bytes(gzip.compress(data.read_bytes()))
    reports = []
    for arguments in (
        ["--data", data],
        ["--data", tmp_path / "source", "--reference", tmp_path / "reference"],
        ["--data", packed, "--batch-size", 1],
    ):
        _, out, _ = run(capsys, model_directory, *arguments, "--bootstrap", 0, "--json")
        reports.append(json.loads(out))
    assert len({report["data_fingerprint"] for report in reports}) == 1
    assert len({report["bleu"]["score"] for report in reports}) == 1
    assert reports[2]["perplexity"] == pytest.approx(reports[0]["perplexity"], rel=1e-5)


def test_unequal_files_are_refused_with_both_counts(capsys, model_directory, tmp_path):
    (tmp_path / "source").write_text("a\nb\nc\n", encoding="utf-8")
    (tmp_path / "reference").write_text("x\ny\n", encoding="utf-8")
    error = refusal(
        capsys, model_directory, "--data", tmp_path / "source", "--reference", tmp_path / "reference"
    )
    assert "3" in error
    assert "2" in error


@pytest.mark.parametrize(
    ("gold", "message"),
    [
        ("0-0\n0-0\n", "has 2 lines, but the data have 3 sentence pairs"),
        (
            "0-0\n3-0\n0-0\n",
            "line 2: a link names source word 3 (from 0), but the source sentence has 3 words",
        ),
        ("0-0\n0-0\n0-4\n", "line 3: a link names target word 4"),
        ("0-0\n0+0\n0-0\n", "line 2: '0+0' is not a link"),
    ],
)
def test_gold_alignments_that_do_not_fit_are_refused_with_the_line(
    capsys, model_directory, data, tmp_path, gold, message
):
    (tmp_path / "gold").write_text(gold, encoding="utf-8")
    error = refusal(capsys, model_directory, "--data", data, "--align-gold", tmp_path / "gold")
    assert message in error


def test_what_is_missing_or_unknown_is_named(capsys, model_directory, data, tmp_path):
    assert "nowhere" in refusal(capsys, model_directory, "--data", tmp_path / "nowhere.tsv")
    assert "no-model" in refusal(capsys, tmp_path / "no-model", "--data", data)
    assert "unknown tokenisation '14a'" in refusal(
        capsys, model_directory, "--data", data, "--tokenize", "14a"
    )
    assert "no directory" in refusal(
        capsys, model_directory, "--data", data, "--out", tmp_path / "x" / "y.json"
    )
    assert "is a directory" in refusal(capsys, model_directory, "--data", data, "--hypotheses", tmp_path)
    assert "--beam-size" in refusal(capsys, model_directory, "--data", data, "--beam-size", 0)
    assert "no device 'abacus'" in refusal(capsys, model_directory, "--data", data, "--device", "abacus")


@pytest.mark.parametrize("options", [["--threshold", 0.3], ["--one-based"]])
def test_options_of_alignments_are_refused_without_alignments(capsys, model_directory, data, options):
    error = refusal(capsys, model_directory, "--data", data, *options)
    assert f"{options[0]} is about the links of --align-gold, which was not given" in error


def test_a_threshold_that_links_everything_is_refused(capsys, model_directory, data, tmp_path):
    (tmp_path / "gold").write_text("\n\n\n", encoding="utf-8")
    options = ["--align-gold", tmp_path / "gold", "--threshold", 0]
    error = refusal(capsys, model_directory, "--data", data, *options)
    assert "lies above 0 and at most at 1" in error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tokenize", "13b"], "unknown tokenisation '13b'"),
        (["--tokenize", "none", "--max-source-length", 3], "target sentence 1: 4 tokens"),
        (["--tokenize", "none", "--max-source-length", 2], "source sentence 1: 3 tokens"),
    ],
)
def test_nothing_is_translated_before_all_is_checked(
    capsys, monkeypatch, model_directory, data, options, message
):
    monkeypatch.setattr("shisen.pipelines.Translator.translate", lambda *_, **__: pytest.fail("too early"))
    assert message in refusal(capsys, model_directory, "--data", data, *options)


def test_half_a_character_in_the_data_is_refused_with_its_line(capsys, model_directory, tmp_path):
    file = tmp_path / "test.jsonl"
    file.write_text('{"source": "\\ud800", "target": "x"}\n', encoding="utf-8")
    error = refusal(capsys, model_directory, "--data", file)
    assert "test.jsonl, line 1: the lone surrogate U+D800 at character 1" in error
