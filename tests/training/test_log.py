import json

import pytest

from shisen.errors import RunError
from shisen.training.log import TrainingLog


def test_lines_after_the_checkpoint_and_a_broken_line_are_forgotten(tmp_path):
    path = tmp_path / "training_log.jsonl"
    log = TrainingLog(path)
    for step in (5, 10, 15):
        log.write({"step": step, "loss": step / 3})
    with path.open("a") as file:
        file.write('{"step": 7, "lo')  # killed while writing
    log.truncate(10)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"step": 5, "loss": 5 / 3},
        {"step": 10, "loss": 10 / 3},
    ]


def test_a_log_that_is_not_there_yet_needs_no_truncation(tmp_path):
    TrainingLog(tmp_path / "training_log.jsonl").truncate(0)
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(RunError, match="could not be written: Is a directory"):
        TrainingLog(tmp_path).write({"step": 1})


def test_the_same_numbers_go_to_tensorboard(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = TrainingLog(tmp_path / "training_log.jsonl", tensorboard=tmp_path / "tensorboard")
    log.write({"step": 5, "epoch": 1, "seconds": 2.0, "loss": 0.5, "bleu": None})
    log.close()
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert events.Tags()["scalars"] == ["loss"]
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(5, 0.5)]
