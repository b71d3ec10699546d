import json

import pytest

from shisen.errors import UserError
from shisen.training.config import TrainingConfig
from shisen.training.state import LIMITS, RunState, Window


def state(**values) -> RunState:
    return RunState("float32", "cpu", 1, "abc", **values)


def test_a_state_survives_json():
    before = state(step=7, window=Window(3, 20, 0.1, 0.2, 0.3), snapshot_steps=[2, 4], best_loss=1 / 3)
    assert RunState.from_dict(json.loads(json.dumps(before.to_dict())), "here") == before


def test_a_state_of_another_version_is_refused():
    values = state().to_dict()
    del values["reductions"]
    with pytest.raises(UserError, match="last: written by another version of shisen"):
        RunState.from_dict(values, "last")


def test_the_best_validation_is_the_one_with_the_lowest_loss():
    run, config = state(), TrainingConfig()
    found = []
    for run.step, loss in ((10, 3.0), (20, 2.0), (30, 2.0), (40, 2.5)):
        found.append(run.note_validation(loss, None, config))
    assert found == [True, True, False, False]
    assert (run.best_step, run.best_loss, run.validations_without_improvement) == (20, 2.0, 2)


def test_the_best_validation_may_be_decided_by_bleu():
    run, config = state(), TrainingConfig(metric="bleu")
    for run.step, loss, bleu in ((10, 3.0, 5.0), (20, 2.0, 4.0), (30, 2.5, 6.0)):
        run.note_validation(loss, bleu, config)
    assert (run.best_step, run.best_loss, run.best_bleu) == (30, 2.5, 6.0)


def test_a_plateau_lowers_the_rate_and_then_waits_again():
    run, config = state(), TrainingConfig(schedule="plateau", plateau_patience=2)
    reductions = []
    for loss in (1.0, 2.0, 2.0, 2.0, 2.0, 0.5, 2.0):
        run.note_validation(loss, None, config)
        reductions.append(run.reductions)
    assert reductions == [0, 0, 1, 1, 2, 2, 2]


@pytest.mark.parametrize(
    ("values", "limits", "reason"),
    [
        ({"step": 5}, {"max_steps": 5}, "5 updates (max_steps)"),
        ({"step": 4}, {"max_steps": 5}, None),
        ({"epoch": 2}, {"max_epochs": 2}, "2 epochs (max_epochs)"),
        ({"seconds": 60.0}, {"max_minutes": 1}, "1 minutes (max_minutes)"),
        ({"seconds": 59.0}, {"max_minutes": 1}, None),
        # A validation of 2 seconds has to fit in, unless it has been made.
        (
            {"seconds": 59.0, "validation_seconds": 2.0, "step": 9},
            {"max_minutes": 1},
            "1 minutes (max_minutes)",
        ),
        (
            {"seconds": 59.0, "validation_seconds": 2.0, "step": 9, "last_validated_step": 9},
            {"max_minutes": 1},
            None,
        ),
        (
            {"validations_without_improvement": 3},
            {"patience": 3},
            "3 validations without a better validation loss (patience)",
        ),
        ({"validations_without_improvement": 3}, {"patience": 4}, None),
    ],
)
def test_a_run_stops_at_the_limit_that_comes_first(values, limits, reason):
    assert state(**values).stop_reason(TrainingConfig(**limits), has_validations=True) == reason


def test_patience_has_no_meaning_without_validations():
    run = state(validations_without_improvement=99)
    assert run.stop_reason(TrainingConfig(patience=1), has_validations=False) is None


def test_a_run_that_is_over_stays_over_until_a_limit_changes():
    ended, values = "1 minutes (max_minutes)", TrainingConfig(max_minutes=1).model_dump()
    # It ended a little early, since another validation would not have fitted in.
    run = state(seconds=59.0, finished_by=ended, limits={limit: values[limit] for limit in LIMITS})
    found = []
    for changed in ({}, {"checkpoint_minutes": 1}, {"max_minutes": 14}, {}, {"max_minutes": 0.5}):
        run.judge(TrainingConfig(**{"max_minutes": 1, **changed}), has_validations=True)
        found.append(run.finished_by)
    assert found == [ended, ended, None, None, "0.5 minutes (max_minutes)"]
