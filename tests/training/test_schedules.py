import math

import pytest

from shisen.training.config import TrainingConfig
from shisen.training.schedules import learning_rate, teacher_forcing_ratio


def rate(step: int, total: int | None = None, reductions: int = 0, **settings) -> float:
    return learning_rate(step, TrainingConfig(learning_rate=0.5, **settings), total, reductions)


@pytest.mark.parametrize("schedule", ["constant", "inverse-sqrt", "plateau", "linear", "cosine"])
def test_the_warm_up_rises_in_equal_steps_to_the_learning_rate(schedule):
    rates = [rate(step, 100, schedule=schedule, warmup_steps=4) for step in (1, 2, 3, 4)]
    assert rates == [0.125, 0.25, 0.375, 0.5]


def test_without_a_schedule_the_rate_is_constant():
    assert {rate(step) for step in (1, 10, 10**6)} == {0.5}


def test_inverse_sqrt_halves_when_the_steps_are_four_times_as_many():
    settings = {"schedule": "inverse-sqrt", "warmup_steps": 10}
    assert rate(40, **settings) == pytest.approx(0.25)
    assert rate(160, **settings) == pytest.approx(0.125)


def test_linear_and_cosine_fall_from_the_learning_rate_to_almost_zero():
    linear = [rate(step, 9, schedule="linear") for step in range(1, 11)]
    assert linear[4] == pytest.approx(0.25)
    assert linear[-1] == 0.0  # the update after the last
    assert 0.0 < linear[-2] < linear[0] < 0.5
    cosine = [rate(step, 9, schedule="cosine") for step in range(1, 11)]
    assert cosine[4] == pytest.approx(0.25)
    assert cosine[1] == pytest.approx(0.25 * (1 + math.cos(math.pi * 0.2)))
    assert rate(50, 9, schedule="cosine") == pytest.approx(0.0)


def test_a_plateau_lowers_the_rate_by_its_factor_each_time():
    assert rate(99, reductions=3, schedule="plateau", plateau_factor=0.5) == pytest.approx(0.0625)


def ratio(step: int, **settings) -> float:
    return teacher_forcing_ratio(step, TrainingConfig(teacher_forcing_decay_steps=10, **settings))


def test_teacher_forcing_is_constant_unless_it_has_a_schedule():
    assert {ratio(step, teacher_forcing_ratio=0.7) for step in (1, 1000)} == {0.7}


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("linear", lambda i, k: 1 - i / k),
        ("exponential", lambda i, k: math.exp(-i / k)),
        ("inverse-sigmoid", lambda i, k: k / (k + math.exp(i / k))),
    ],
)
def test_teacher_forcing_decays_as_published(schedule, expected):
    for i in (0, 1, 5, 9):
        assert ratio(i + 1, teacher_forcing_schedule=schedule) == pytest.approx(expected(i, 10))
        assert ratio(i + 1, teacher_forcing_schedule=schedule, teacher_forcing_ratio=0.5) == pytest.approx(
            0.5 * expected(i, 10)
        )


@pytest.mark.parametrize("schedule", ["linear", "exponential", "inverse-sigmoid"])
def test_teacher_forcing_never_falls_below_its_minimum(schedule):
    assert ratio(10**9, teacher_forcing_schedule=schedule, teacher_forcing_minimum=0.25) == 0.25
    assert ratio(10**9, teacher_forcing_schedule=schedule) == pytest.approx(0.0)
