import pytest
import yaml

from shisen.cli.main import main


def run(capfd, *arguments: str) -> tuple[int, str, str]:
    """Run the command in this process; return its exit code and what it printed."""
    with pytest.raises(SystemExit) as exit:
        main([str(argument) for argument in arguments])
    captured = capfd.readouterr()
    return int(exit.value.code), captured.out, captured.err


@pytest.fixture
def config(tmp_path):
    """A run of two updates."""
    for name in ("source", "target"):
        (tmp_path / name).write_text("a b\nb a b\na\n")
    text = {"source": str(tmp_path / "source"), "target": str(tmp_path / "target")}
    values = {
        "data": {"train": text, "validation": text, "tokenizer": {"kind": "word"}},
        "model": {"embedding_size": 4, "hidden_size": 4},
        "training": {"max_steps": 2, "threads": 1, "device": "cpu"},
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_it_trains_and_prints_the_path(capfd, tmp_path, config):
    code, out, err = run(capfd, "train", config, "--out", tmp_path / "run")
    assert (code, out) == (0, f"{tmp_path / 'run'}\n")
    for part in (
        "model, log and checkpoints go to",
        "parameters; float32 on cpu, 1 thread",
        "train text: 3 pairs",
    ):
        assert part in err


def test_quiet_prints_the_path_alone(capfd, tmp_path, config):
    code, out, err = run(capfd, "train", config, "--out", tmp_path / "run", "--quiet")
    assert (code, out, err) == (0, f"{tmp_path / 'run'}\n", "")


def test_resume_needs_no_configuration_file(capfd, tmp_path, config):
    run(capfd, "train", config, "--out", tmp_path / "run", "--quiet")
    arguments = ["--out", tmp_path / "run", "--resume", "--set", "training.max_steps=3"]
    code, _, err = run(capfd, "train", *arguments)
    assert code == 0
    assert "going on after step 2" in err
    assert "done after 3 updates" in err


def test_the_printed_configuration_needs_nothing(capfd):
    code, out, _ = run(capfd, "train", "--print-config")
    assert code == 0
    assert set(yaml.safe_load(out)) == {"data", "model", "training"}


def test_bad_lines_are_skipped_and_counted_on_demand(capfd, tmp_path, config):
    (tmp_path / "source").write_text("a b\n\na\n")
    code, _, err = run(capfd, "train", config, "--out", tmp_path / "run")
    assert code == 2
    assert "line 2" in err
    code, _, err = run(capfd, "train", config, "--out", tmp_path / "run", "--skip-bad-lines")
    assert code == 0
    assert "2 pairs; 1 bad lines skipped (1 empty side)" in err


MISTAKES = [
    ([], "--out DIR is missing"),
    (["--out", "OUT"], "CONFIG.yaml is missing; shisen train --print-config > CONFIG.yaml"),
    (["nowhere.yaml", "--out", "OUT"], "nowhere.yaml: the configuration cannot be read"),
    (["CONFIG", "--out", "OUT", "--resume"], "holds no run to resume"),
    (["--out", "OUT", "--resume"], "holds no run to resume"),
    (["CONFIG", "--out", "OUT", "--set", "model.atention=none"], "did you mean model.attention?"),
    (["CONFIG", "--out", "OUT", "--set", "model.attention=all"], "one of none, bahdanau, luong-dot"),
    (["CONFIG", "--out", "OUT", "--set", "model.dropout=2"], "at least 0 and below 1"),
    (["CONFIG", "--out", "OUT", "--set", "data.train.target=CONFIG"], "unequal numbers of lines"),
    (["CONFIG", "--out", "OUT", "--set", "data.train.source=nowhere.txt"], "nowhere.txt: no such file"),
    (["CONFIG", "--out", "OUT", "--set", "data.tokenizer.vocabulary_size=99"], "asked for 99 entries"),
    (["CONFIG", "--out", "CONFIG"], "config.yaml is a file; name a new directory"),
    (["CONFIG", "--out", "CONFIG/run"], "cannot be made"),
    (["CONFIG", "--out", "."], "is not empty"),
    (["CONFIG", "--out", "OUT", "--quick"], "--quick"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(capfd, tmp_path, config, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    filled = [
        argument.replace("CONFIG", str(config)).replace("OUT", str(tmp_path / "run"))
        for argument in arguments
    ]
    code, out, err = run(capfd, "train", *filled)
    assert code == 2
    assert out == ""
    assert err.startswith("shisen: error: ")
    assert err.count("\n") == 1
    assert message in err
    assert sorted(tmp_path.iterdir()) == before, "something was written"
