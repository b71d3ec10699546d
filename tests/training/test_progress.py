import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from shisen.training import progress
from shisen.training.config import TrainingConfig
from shisen.training.progress import BarDisplay, LineDisplay, QuietDisplay, open_display
from shisen.training.state import RunState, Window
from shisen.training.validation import Example, Validation

FOUND = Validation(1.0, 12.345, Example("[b]the cat[/b] sat", "x", "猫が座った"), 2.0)


def loop(**limits) -> SimpleNamespace:
    """What a display reads of a loop: 30 of 120 updates done in a minute."""
    state = RunState("float32", "cpu", 1, "", step=30, epoch=1, batch=3, seconds=60.0)
    state.window = Window(steps=10, tokens=5000, seconds=2.0)
    return SimpleNamespace(
        state=state,
        config=TrainingConfig(**limits),
        mean_loss=lambda: 3.21,
        mean_gradient_norm=lambda: 0.5,
    )


def shown(kind, terminal: bool) -> tuple:
    file = io.StringIO()
    display = kind(Console(file=file, force_terminal=terminal, width=200, highlight=False))
    display.total_steps = 120
    return display, file


def test_a_line_tells_loss_speed_norm_and_the_time_left(monkeypatch):
    display, file = shown(LineDisplay, terminal=False)
    display.step(loop())
    assert file.getvalue() == ""  # not yet
    monkeypatch.setattr(progress, "_LINE_SECONDS", 0.0)
    display.step(loop())
    assert file.getvalue() == (
        "epoch 2, step 30: loss 3.210, 2,500 tokens/s, gradient norm 0.50, 0:01:00 gone, "
        "at most 0:03:00 left\n"
    )


def test_the_time_left_is_that_of_the_limit_that_comes_first(monkeypatch):
    monkeypatch.setattr(progress, "_LINE_SECONDS", 0.0)
    display, file = shown(LineDisplay, terminal=False)
    display.step(loop(max_minutes=2.0))
    assert "at most 0:01:00 left" in file.getvalue()
    display.total_steps = None
    display.step(loop())
    assert "left" not in file.getvalue().splitlines()[-1]


@pytest.mark.parametrize("kind", [LineDisplay, BarDisplay])
def test_a_validation_is_one_line_with_a_translation(kind):
    display, file = shown(kind, terminal=False)
    display.validation(loop(), FOUND, is_best=True)
    assert file.getvalue() == (
        "epoch 2, step 30: validation perplexity 2.72, BLEU 12.35 (best so far); "
        "[b]the cat[/b] sat → 猫が座った\n"
    )


def test_the_bar_shows_the_same_and_goes_away():
    display, file = shown(BarDisplay, terminal=True)
    display.busy("learning the source vocabulary")
    display.step(loop())
    display.note("a [line] above")
    display.close()
    text = file.getvalue()
    for part in ("learning the source vocabulary", "epoch 2, step 30", "2,500 tokens/s", "a [line] above"):
        assert part in text
    assert text.endswith("\x1b[2K")  # the bar's line is cleared


def test_long_sentences_are_cut():
    display, file = shown(LineDisplay, terminal=False)
    display.validation(loop(), Validation(1.0, None, Example("w " * 80, "", "v"), 1.0), is_best=False)
    assert file.getvalue().endswith(f"{'w ' * 29}w… → v\n")
    assert "BLEU" not in file.getvalue()


def test_quiet_is_quiet(capfd):
    display = open_display(quiet=True)
    assert isinstance(display, QuietDisplay)
    display.note("a")
    display.busy("b")
    display.step(loop())
    display.validation(loop(), FOUND, is_best=True)
    display.close()
    assert capfd.readouterr() == ("", "")


def test_where_there_is_no_terminal_there_is_no_bar():
    assert isinstance(open_display(quiet=False), LineDisplay)
