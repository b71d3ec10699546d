"""The demo: which folders it takes, what it leaves there, and (slow) how well its training does."""

import json

import pytest

from shisen.cli.main import main
from shisen.data.embedded.corpus import CorpusRequest
from shisen.demo import MARK, claim, run_demo
from shisen.errors import RunError, UserError

_SMALL = CorpusRequest(pairs=60, min_words=4, max_words=7, validation_pairs=8, test_pairs=12)
_SHORT = ("training.max_steps=3", "training.threads=1", "model.hidden_size=8", "model.embedding_size=8")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A demo cut short: (its folder, its report, what it said)."""
    folder, said = tmp_path_factory.mktemp("demo") / "runs" / "demo", []
    report = run_demo(folder, _SMALL, _SHORT, quiet=True, say=said.append)
    return folder, report, said


def test_it_leaves_model_translations_scores_and_pictures(demo):
    folder, report, _ = demo
    assert {path.name for path in folder.iterdir()} == {
        MARK,
        "config.yaml",
        "corpus",
        "heatmaps",
        "model",
        "scores.json",
        "translations.tsv",
    }
    assert (folder / "model" / "model.safetensors").exists()
    pictures = sorted(path.name for path in (folder / "heatmaps").iterdir())
    assert pictures[:4] == [
        "1-i-love-deep-learning.png",
        "1-i-love-deep-learning.svg",
        "2-the-cat-sat-on-the-mat.png",
        "2-the-cat-sat-on-the-mat.svg",
    ]
    assert len(pictures) == 2 * len(report.samples)


def test_every_held_out_sentence_is_in_the_table(demo):
    folder, _, _ = demo
    header, *rows = (folder / "translations.tsv").read_text(encoding="utf-8").splitlines()
    assert header == "source\ttranslation\treference"
    sources = (folder / "corpus" / "test.en").read_text(encoding="utf-8").splitlines()
    references = (folder / "corpus" / "test.ja").read_text(encoding="utf-8").splitlines()
    assert [row.split("\t")[0] for row in rows] == sources
    assert [row.split("\t")[2] for row in rows] == [reference.replace(" ", "") for reference in references]


def test_the_scores_say_how_they_were_made(demo):
    folder, report, _ = demo
    scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    assert scores["bleu"] == report.bleu
    assert scores["aer"] == report.aer == scores["evaluation"]["alignment"]["aer"]
    assert scores["train_seconds"] == pytest.approx(report.train_seconds, abs=0.1)
    assert scores["evaluation"]["sentences"] == 12
    assert scores["corpus"]["command"] == _SMALL.command


def test_the_configuration_it_leaves_is_the_one_that_ran(demo):
    folder, _, _ = demo
    ours = (folder / "config.yaml").read_text(encoding="utf-8")
    assert ours == (folder / "model" / "config.yaml").read_text(encoding="utf-8")
    assert "max_steps: 3" in ours


def test_it_says_what_it_does_step_by_step(demo):
    assert [line[:2] for line in demo[2]] == ["1.", "2.", "3.", "4."]


def test_it_tells_what_it_trains_and_how_to_do_it_again(tmp_path, monkeypatch):
    said, commands = [], []

    def stop(config, out, quiet, command):
        commands.append(command)
        raise RunError("stopped")

    monkeypatch.setattr("shisen.demo.train", stop)
    with pytest.raises(RunError, match="stopped"):
        run_demo(tmp_path / "my demo", _SMALL, ["model.attention=none"], quiet=True, say=said.append)
    assert said[1] == "2. Training a recurrent model with no attention on 40 of them"
    assert commands == [f"shisen demo --out '{tmp_path}/my demo' --set model.attention=none"]


def test_wrong_settings_leave_an_earlier_result_alone(demo):
    folder, _, _ = demo
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with pytest.raises(UserError, match=r"training\.max_epoch\b"):
        run_demo(folder, _SMALL, ["training.max_epoch=1"], quiet=True)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_the_result_of_an_earlier_demo_makes_room(tmp_path):
    claim(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_text("old")
    (tmp_path / "scores.json").write_text("{}")
    claim(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [MARK]


@pytest.mark.parametrize("is_marked", [True, False])
def test_what_a_killed_demo_was_writing_makes_room_too(tmp_path, is_marked):
    if is_marked:
        claim(tmp_path)
        (tmp_path / ".corpus.partial-7").mkdir()
        (tmp_path / "scores.json.12.partial").write_text("{")
    else:
        (tmp_path / f"{MARK}.12.partial").write_text("{")
    claim(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [MARK]


@pytest.mark.parametrize(
    "present", [["notes.txt"], [MARK, "notes.txt"], ["model"], [MARK, "notes.txt.12.partial"]]
)
def test_a_folder_that_holds_anything_else_is_refused_untouched(tmp_path, present):
    for name in present:
        (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match="no demo wrote; nothing was touched"):
        claim(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(present, "mine")


def test_a_folder_linked_in_is_unlinked_and_not_emptied(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_text("mine")
    out = tmp_path / "demo"
    claim(out)
    (out / "model").symlink_to(elsewhere)
    claim(out)
    assert (elsewhere / "kept").read_text() == "mine"


def test_a_file_in_its_place_is_one_line_on_standard_error(tmp_path, capsys):
    out = tmp_path / "demo"
    out.write_text("mine")
    with pytest.raises(SystemExit) as leaving:
        main(["demo", "--out", str(out)])
    assert leaving.value.code == 2
    assert capsys.readouterr().err.endswith(
        f"shisen: error: {out}: is a file; name a new folder with --out\n"
    )
    assert out.read_text() == "mine"


@pytest.mark.slow
def test_three_minutes_of_training_translate_held_out_sentences(tmp_path, capsys):
    out = tmp_path / "demo"
    with pytest.raises(SystemExit) as leaving:
        main(["demo", "--out", str(out), "--quiet"])
    assert not leaving.value.code
    scores = json.loads((out / "scores.json").read_text(encoding="utf-8"))
    assert scores["bleu"] >= 95
    assert scores["aer"] <= 0.30
    printed = capsys.readouterr().out
    assert "私は深層学習が好きです" in printed
    assert "その猫がマットの上に座った" in printed

    from shisen import Translator

    typed = ["I love deep learning.", "the cat sat on the mat", "The cat sat on the mat."]
    translations = Translator.load(out / "model").translate(typed)
    assert [translation.text for translation in translations] == [
        "私は深層学習が好きです。",
        "その猫がマットの上に座った",
        "その猫がマットの上に座った。",
    ]
