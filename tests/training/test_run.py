import json
import os
import signal
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from shisen.errors import RunError, UserError
from shisen.model_directory import load_model
from shisen.training.checkpoints import SafetensorsCheckpointIO
from shisen.training.config_file import load_config
from shisen.training.loop import TrainingLoop
from shisen.training.run import TrainingInterrupted, train
from shisen.training.run_directory import RunDirectory
from shisen.training.snapshots import Snapshots
from shisen.training.task import TranslationTask

EXACT = ("step", "epoch", "loss", "gradient_norm", "learning_rate", "validation_loss", "bleu")


def read_log(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "training_log.jsonl").read_text().splitlines()]


def exact_part(entries: list[dict]) -> list[dict]:
    """The log without what time decides."""
    return [{key: entry[key] for key in EXACT if key in entry} for entry in entries]


def parameters(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "model.safetensors")


def assert_same_parameters(a: Path, b: Path) -> None:
    ours, theirs = parameters(a), parameters(b)
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name


def stop_at(monkeypatch, step: int, number: signal.Signals = signal.SIGTERM) -> None:
    """Send this process a signal while the run does an update."""
    count = TrainingLoop._count

    def count_and_stop(loop, *arguments):
        count(loop, *arguments)
        if loop.state.step == step:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(TrainingLoop, "_count", count_and_stop)


class Killed(BaseException):
    """What ends a run at once, as SIGKILL does: nothing handles it."""


def killed(*arguments, **settings):
    raise Killed


def test_a_run_leaves_a_whole_model_directory(tmp_path, configure):
    out = train(configure(), tmp_path / "run", quiet=True, command="shisen train config.yaml --out run")
    names = {path.name for path in out.iterdir()}
    assert names == {
        "README.md",
        "checkpoints",
        "config.json",
        "config.yaml",
        "generation_config.json",
        "model.safetensors",
        "source_tokenizer.json",
        "target_tokenizer.json",
        "training_log.jsonl",
    }
    loaded = load_model(out)
    assert not loaded.model.training
    assert loaded.config["model"]["hidden_size"] == 8
    assert loaded.config["source_vocabulary_size"] == 7 + 4
    assert load_config(out / "config.yaml") == configure()
    header = (out / "README.md").read_text().split("---\n")[1]
    assert yaml.safe_load(header)["pipeline_tag"] == "translation"


def test_the_log_holds_what_it_promises(tmp_path, configure):
    entries = read_log(train(configure(), tmp_path / "run", quiet=True))
    # Every 4 updates, at validations every 10, and at the end: 3 epochs of 15 batches.
    assert [entry["step"] for entry in entries] == [
        4, 8, 10, 12, 16, 20, 24, 28, 30, 32, 36, 40, 44, 45
    ]  # fmt: skip
    assert [entry["epoch"] for entry in entries] == [1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3]
    every = {
        "step",
        "epoch",
        "seconds",
        "loss",
        "target_tokens_per_second",
        "gradient_norm",
        "learning_rate",
    }
    for entry in entries:
        is_validation = entry["step"] in (10, 20, 30, 40, 45)
        assert set(entry) == (every | {"validation_loss", "bleu"} if is_validation else every)
    assert entries[-1]["validation_loss"] < entries[2]["validation_loss"]  # it learns
    seconds = [entry["seconds"] for entry in entries]
    assert seconds == sorted(seconds)


def test_the_same_seed_gives_the_same_model_and_another_does_not(tmp_path, configure):
    config = configure("training.max_steps=12")
    first, second = (train(config, tmp_path / name, quiet=True) for name in ("first", "second"))
    assert_same_parameters(first, second)
    assert exact_part(read_log(first)) == exact_part(read_log(second))
    other = train(configure("training.max_steps=12", "training.seed=2"), tmp_path / "other", quiet=True)
    assert exact_part(read_log(first)) != exact_part(read_log(other))


@pytest.mark.parametrize(
    "model",
    [
        "model={embedding_size: 8, hidden_size: 8}",
        "model={embedding_size: 8, hidden_size: 8, coverage: true, attention_dropout: 0.2}",
        "model={family: transformer, model_size: 8, heads: 2, feed_forward_size: 16, encoder_layers: 1, "
        "decoder_layers: 2, attention_dropout: 0.2, activation_dropout: 0.1, drop_head: 0.2}",
    ],
    ids=["recurrent", "coverage", "transformer"],
)
def test_a_run_that_was_stopped_goes_on_to_the_same_parameters(tmp_path, configure, monkeypatch, model):
    config = configure(
        model,
        "training.schedule=plateau",
        "training.plateau_patience=1",
        "training.warmup_steps=3",
        "training.teacher_forcing_ratio=0.8",
        "training.teacher_forcing_schedule=linear",
        "training.teacher_forcing_decay_steps=60",
    )
    whole = train(config, tmp_path / "whole", quiet=True)
    parts = tmp_path / "parts"
    # After the first update, in the middle of an epoch, at the end of one, at a validation.
    for step in (1, 13, 15, 20):
        with monkeypatch.context() as patch:
            stop_at(patch, step)
            with pytest.raises(TrainingInterrupted, match=f"stopped at step {step} and saved; go on with: "):
                train(config, parts, resume=parts.exists(), quiet=True)
        load_model(parts)  # it can be used as it is
    train(config, parts, resume=True, quiet=True)
    assert_same_parameters(whole, parts)
    assert exact_part(read_log(whole)) == exact_part(read_log(parts))
    left = {path.name for path in (parts / "checkpoints").iterdir()}
    assert left == {path.name for path in (whole / "checkpoints").iterdir()}


def test_ctrl_c_is_given_back_after_the_run(tmp_path, configure, monkeypatch):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    stop_at(monkeypatch, 3, signal.SIGINT)
    with pytest.raises(TrainingInterrupted) as caught:
        train(configure(), tmp_path / "run", quiet=True)
    assert caught.value.exit_code == 130
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_how_often_it_saves_and_validates_does_not_change_what_is_learned(tmp_path, configure):
    plain = configure("training.max_steps=16", "training.average_last=0")
    busy = configure("training.max_steps=16", "training.checkpoint_steps=2", "training.validation_interval=2")
    ends = []
    for name, config in (("plain", plain), ("busy", busy)):
        out = train(config, tmp_path / name, quiet=True)
        ends.append(SafetensorsCheckpointIO().load_checkpoint(out / "checkpoints" / "last.safetensors"))
    for name, tensor in ends[0]["state_dict"].items():
        assert torch.equal(tensor, ends[1]["state_dict"][name]), name
    assert torch.equal(ends[0]["random"]["torch"], ends[1]["random"]["torch"])


def test_a_run_stopped_before_its_first_checkpoint_begins_again(tmp_path, configure, capfd):
    config = configure("training.max_steps=5")
    whole = train(config, tmp_path / "whole", quiet=True)
    train(config, tmp_path / "again", quiet=True)
    for path in (tmp_path / "again" / "checkpoints").iterdir():
        path.unlink()
    (tmp_path / "again" / "model.safetensors").unlink()
    again = train(config, tmp_path / "again", resume=True)
    assert "stopped before its first checkpoint: it begins from the beginning" in capfd.readouterr().err
    assert_same_parameters(whole, again)
    assert exact_part(read_log(whole)) == exact_part(read_log(again))


def test_a_finished_run_has_nothing_to_go_on_with_until_a_limit_is_raised(tmp_path, configure, capfd):
    out = train(configure("training.max_steps=20"), tmp_path / "run", quiet=True)
    stamp = (out / "model.safetensors").stat().st_mtime_ns
    train(configure("training.max_steps=20"), out, resume=True)
    assert "this run has ended, by 20 updates (max_steps); nothing to do" in capfd.readouterr().err
    assert (out / "model.safetensors").stat().st_mtime_ns == stamp
    train(configure("training.max_steps=25"), out, resume=True, quiet=True)
    assert [entry["step"] for entry in read_log(out)][-2:] == [24, 25]
    whole = train(configure("training.max_steps=25"), tmp_path / "whole", quiet=True)
    # The shorter run validated its last step, so the averages differ; what was learned does not.
    ends = [
        SafetensorsCheckpointIO().load_checkpoint(run / "checkpoints" / "last.safetensors")["state_dict"]
        for run in (out, whole)
    ]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


@pytest.mark.parametrize("place", ["_Run._choose", "model_directory.save_model", "write_atomically"])
def test_a_run_killed_before_its_model_is_whole_writes_it_when_it_goes_on(
    tmp_path, configure, monkeypatch, place
):
    config = configure("training.max_steps=24")
    whole = train(config, tmp_path / "whole", quiet=True)
    out = tmp_path / "run"
    with monkeypatch.context() as patch:  # leaves the model of the moment, with its card
        stop_at(patch, 13)
        with pytest.raises(TrainingInterrupted):
            train(config, out, quiet=True)
    with monkeypatch.context() as patch:
        patch.setattr(f"shisen.training.run.{place}", killed)
        with pytest.raises(Killed):
            train(config, out, resume=True, quiet=True)
    assert not (out / "README.md").exists()
    train(config, out, resume=True, quiet=True)
    assert_same_parameters(whole, out)
    assert "ended by 24 updates (max_steps)" in (out / "README.md").read_text()


def test_a_run_without_validation_killed_before_its_model_is_written_has_lost_nothing(
    tmp_path, configure, monkeypatch
):
    config = configure("data.validation=null", "training.max_steps=6")
    whole = train(config, tmp_path / "whole", quiet=True)
    with monkeypatch.context() as patch:
        patch.setattr("shisen.training.run.model_directory.save_model", killed)
        with pytest.raises(Killed):
            train(config, tmp_path / "run", quiet=True)
    train(config, tmp_path / "run", resume=True, quiet=True)
    assert_same_parameters(whole, tmp_path / "run")


def test_a_lower_limit_ends_an_interrupted_run(tmp_path, configure, monkeypatch):
    out = tmp_path / "run"
    stop_at(monkeypatch, 13)
    with pytest.raises(TrainingInterrupted):
        train(configure(), out, quiet=True)
    train(configure("training.max_steps=12"), out, resume=True, quiet=True)
    card = (out / "README.md").read_text()
    assert "ended by 13 updates (max_steps)" in card
    assert "the best of all validations, of step 10" in card


def test_a_run_extended_and_killed_before_its_next_checkpoint_goes_on(tmp_path, configure, monkeypatch):
    out = train(configure("training.max_steps=10"), tmp_path / "run", quiet=True)
    with monkeypatch.context() as patch:
        patch.setattr("shisen.training.run._Run._fit", killed)
        with pytest.raises(Killed):
            train(configure("training.max_steps=12"), out, resume=True, quiet=True)
    train(RunDirectory(out).read_config(), out, resume=True, quiet=True)
    assert read_log(out)[-1]["step"] == 12


def test_a_checkpoint_that_does_not_tell_its_limits_goes_on_too(tmp_path, configure, capfd):
    out = train(configure("training.max_steps=4"), tmp_path / "run", quiet=True)
    files, path = SafetensorsCheckpointIO(), out / "checkpoints" / "last.safetensors"
    checkpoint = files.load_checkpoint(path)
    del checkpoint["run"]["limits"]
    files.save_checkpoint(checkpoint, path)
    train(configure("training.max_steps=4"), out, resume=True)
    assert "nothing to do" in capfd.readouterr().err
    train(configure("training.max_steps=6"), out, resume=True, quiet=True)
    assert read_log(out)[-1]["step"] == 6


def test_a_run_that_another_process_is_at_work_on_is_left_alone(tmp_path, configure):
    pytest.importorskip("fcntl", reason="the system has no such locks")
    config = configure("training.max_steps=2")
    out = train(config, tmp_path / "run", quiet=True)
    with (
        RunDirectory(out).locked(),
        pytest.raises(UserError, match="run: another process is training this run; wait until it ends"),
    ):
        train(config, out, resume=True, quiet=True)
    train(config, out, resume=True, quiet=True)
    assert not (out / "checkpoints" / "lock").exists()


def test_what_a_killed_run_was_writing_is_removed_when_it_goes_on(tmp_path, configure):
    out = train(configure("training.max_steps=2"), tmp_path / "run", quiet=True)
    left = [out / "README.md.12.partial", out / "checkpoints" / "last.safetensors.12.partial"]
    for path in left:
        path.write_text("half")
    train(configure("training.max_steps=3"), out, resume=True, quiet=True)
    assert not any(path.exists() for path in left)


def test_a_run_is_not_written_over(tmp_path, configure):
    out = train(configure("training.max_steps=2"), tmp_path / "run", quiet=True)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match="already holds a run; go on with --resume, or name another"):
        train(configure("training.max_steps=2"), out, quiet=True)
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_a_directory_with_other_things_in_it_is_left_alone(tmp_path, configure):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("…")
    with pytest.raises(UserError, match="full is not empty"):
        train(configure(), tmp_path / "full", quiet=True)
    with pytest.raises(UserError, match=r"thesis\.tex is a file"):
        train(configure(), tmp_path / "full" / "thesis.tex", quiet=True)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("is_there", [False, True])
def test_bad_data_leaves_no_trace_of_a_run(tmp_path, configure, is_there):
    out = tmp_path / "run"
    if is_there:
        out.mkdir()
    with pytest.raises(UserError, match=r"nowhere\.txt"):
        train(configure("data.train.source=nowhere.txt"), out, quiet=True)
    assert list(out.iterdir()) == [] if is_there else not out.exists()


def test_only_limits_may_change_when_a_run_goes_on(tmp_path, configure):
    out = train(configure("training.max_steps=4"), tmp_path / "run", quiet=True)
    with pytest.raises(UserError, match=r"changed: model\.cell, training\.learning_rate\."):
        train(configure("training.learning_rate=0.5", "model.cell=lstm"), out, resume=True, quiet=True)
    with pytest.raises(UserError, match="holds no run to resume"):
        train(configure(), tmp_path / "elsewhere", resume=True, quiet=True)


def test_a_run_does_not_go_on_with_other_data(tmp_path, configure):
    config = configure("training.max_steps=4")
    out = train(config, tmp_path / "run", quiet=True)
    source = Path(config.data.train.source)
    source.write_text(source.read_text().replace("a", "b", 1))
    with pytest.raises(UserError, match="the training data is not what the run was begun with"):
        train(configure("training.max_steps=8"), out, resume=True, quiet=True)


def test_a_damaged_checkpoint_is_one_clear_error(tmp_path, configure):
    out = train(configure("training.max_steps=4"), tmp_path / "run", quiet=True)
    (out / "checkpoints" / "last.safetensors").write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match=r"last\.safetensors cannot be read as a checkpoint"):
        train(configure("training.max_steps=4"), out, resume=True, quiet=True)


def test_time_ends_a_run(tmp_path, configure):
    out = train(
        configure("training.max_minutes=0.005", "training.max_epochs=null", "training.patience=null"),
        tmp_path / "run",
        quiet=True,
    )
    assert "ended by 0.005 minutes (max_minutes)" in (out / "README.md").read_text()
    assert 0.1 < read_log(out)[-1]["seconds"] < 5


def test_patience_ends_a_run(tmp_path, configure):
    # A learning rate too small to change a loss in float32 by more than rounding does.
    out = train(
        configure("training.learning_rate=1e-30", "training.patience=2", "training.max_epochs=null"),
        tmp_path / "run",
        quiet=True,
    )
    assert read_log(out)[-1]["step"] == 30
    assert (
        "ended by 2 validations without a better validation loss (patience)"
        in (out / "README.md").read_text()
    )


def test_without_validation_the_last_parameters_are_kept(tmp_path, configure):
    out = train(configure("data.validation=null", "training.max_steps=6"), tmp_path / "run", quiet=True)
    assert "The parameters are the last, of step 6" in (out / "README.md").read_text()
    assert all("validation_loss" not in entry for entry in read_log(out))
    load_model(out)


@pytest.mark.parametrize("is_better", [True, False])
def test_the_average_is_kept_only_if_it_is_better(tmp_path, configure, monkeypatch, is_better):
    def load(snapshots, steps, model):
        snapshots.load(steps[-1], model)
        if not is_better:
            for parameter in model.parameters():
                torch.nn.init.normal_(parameter, std=5.0)

    monkeypatch.setattr(Snapshots, "load_average", load)
    config = configure("training.max_steps=20")
    if is_better:
        note = "shisen.training.state.RunState.is_better"
        monkeypatch.setattr(note, lambda state, loss, bleu, config: True)
    out = train(config, tmp_path / "run", quiet=True)
    card = (out / "README.md").read_text()
    kept = (
        "the average of the last 2 validations (steps 10 to 20)"
        if is_better
        else "the best of all validations"
    )
    assert f"The parameters are {kept}" in card


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_checkpoint(tmp_path, configure, monkeypatch):
    step = TranslationTask.training_step

    def poisoned(task, batch, index):
        output = step(task, batch, index)
        return output if task.state.step < 7 else output | {"loss": output["loss"] * float("nan")}

    monkeypatch.setattr(TranslationTask, "training_step", poisoned)
    with pytest.raises(RunError, match=r"not a number at step 8; lower training\.learning_rate"):
        train(configure("training.checkpoint_steps=5"), tmp_path / "run", quiet=True)
    monkeypatch.undo()
    resumed = train(configure("training.checkpoint_steps=5"), tmp_path / "run", resume=True, quiet=True)
    assert [entry["step"] for entry in read_log(resumed)][:4] == [4, 8, 10, 12]


def test_a_full_memory_is_one_clear_error(tmp_path, configure, monkeypatch):
    def exhausted(task, batch, index):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried …")

    monkeypatch.setattr(TranslationTask, "training_step", exhausted)
    with pytest.raises(RunError, match=r"out of memory; lower training\.batch_size \(now 8 sentences\)"):
        train(configure(), tmp_path / "run", quiet=True)


def test_tensorboard_is_asked_for_before_anything_is_written(tmp_path, configure, monkeypatch):
    monkeypatch.setattr("shisen.training.run.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'pip install "shisen\[tensorboard\]"'):
        train(configure("training.tensorboard=true"), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


@pytest.fixture
def with_a_long_sentence(configure):
    """Return a function that configures a run whose first validation pair is as long as it is told."""

    def configure_with(words: int, *overrides: str):
        config = configure(*overrides)
        for path in map(Path, (config.data.validation.source, config.data.validation.target)):
            first, *others = path.read_text("utf-8").splitlines()
            path.write_text("\n".join([" ".join([first.split()[0]] * words), *others, ""]), "utf-8")
        return config

    return configure_with


def test_a_very_long_validation_sentence_is_measured_and_not_translated(tmp_path, with_a_long_sentence):
    out = train(with_a_long_sentence(1025, "training.max_steps=2"), tmp_path / "run", quiet=True)
    card = (out / "README.md").read_text()
    assert "20 validation pairs |" in card
    assert "4 of the validation pairs |" in card


def test_bleu_cannot_decide_where_no_sentence_can_be_translated(tmp_path, with_a_long_sentence):
    config = with_a_long_sentence(1025, "training.metric=bleu", "training.bleu_sentences=1")
    with pytest.raises(UserError, match=r"training\.metric bleu: every validation sentence .* 1,024 tokens"):
        train(config, tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_a_full_memory_may_come_of_a_long_validation_sentence(tmp_path, with_a_long_sentence, monkeypatch):
    def exhausted(task, batch, index):
        raise MemoryError

    monkeypatch.setattr(TranslationTask, "training_step", exhausted)
    with pytest.raises(RunError, match=r"leave long pairs out of the validation text, .* has 200 pieces"):
        train(with_a_long_sentence(200), tmp_path / "run", quiet=True)
