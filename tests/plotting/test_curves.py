"""Learning curves: reading logs that were cut off or resumed, and drawing what they hold."""

import json

import numpy as np
import pytest
from drawn import overflow, texts_of

from shisen import UserError
from shisen.plotting import plot_curves, read_training_log


def records(steps=range(10, 200, 10), **extra):
    return [
        {
            "step": step, "epoch": step / 100, "seconds": step * 2.0, "loss": 5 / step, "gradient_norm": 1.0,
            "learning_rate": 1e-3, "target_tokens_per_second": 9000.0, **extra,
        }
        for step in steps
    ]  # fmt: skip


def write(path, items):
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return path


def test_a_log_is_read_from_its_directory_or_its_file(tmp_path):
    write(tmp_path / "training_log.jsonl", records())
    assert read_training_log(tmp_path) == read_training_log(tmp_path / "training_log.jsonl") == records()


@pytest.mark.parametrize("rest", [b'{"step": 200, "lo', b"{", b"\xe3\x81", b"nul", b'"half', b"\n\n"])
def test_a_last_line_cut_off_by_a_crash_is_left_out(tmp_path, rest):
    path = write(tmp_path / "training_log.jsonl", records())
    path.write_bytes(path.read_bytes() + rest)
    assert read_training_log(tmp_path) == records()


def test_a_resumed_run_replaces_what_it_did_again(tmp_path):
    again = records(range(60, 100, 10), loss=7.0)
    write(tmp_path / "training_log.jsonl", [*records(range(10, 100, 10)), *again])
    read = read_training_log(tmp_path)
    assert [record["step"] for record in read] == [10, 20, 30, 40, 50, 60, 60, 70, 80, 90]
    assert [record["loss"] for record in read[-3:]] == [7.0] * 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such training log; name a directory that `shisen train` wrote"),
        (b"", "has no records yet"),
        (b'{"step": 1', "has no records yet"),
        (b'{"step": 1}\n[1]\n{"step": 2}\n', "line 2 is not a record"),
        (b'{"step": 1}\n\xff\xff\n{"step": 2}\n', "line 2 is not a record"),
        (b"not json\n{}\n", "line 1 is not a record"),
    ],
)
def test_what_is_no_log_is_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "training_log.jsonl").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_training_log(tmp_path)


def lines_of(figure, title):
    axes = next(axes for axes in figure.axes if axes.get_title(loc="left") == title)
    return [line.get_xydata() for line in axes.lines if len(line.get_xdata())]


def test_what_was_recorded_is_drawn_and_nothing_else():
    figure = plot_curves(
        {"run": [{"step": 1, "loss": 3.0}, {"step": 2, "loss": 2.0}, {"step": 3, "loss": None}]}
    )
    assert len(figure.axes) == 1
    (line,) = lines_of(figure, "loss per target token (dots: validation)")
    assert line.tolist() == [[1, 3], [2, 2]]
    log = records()
    log[9] |= {"validation_loss": 0.4, "bleu": 12.5}
    figure = plot_curves({"run": log})
    assert lines_of(figure, "validation BLEU")[0].tolist() == [[100, 12.5]]
    visible = [axes.get_title(loc="left") for axes in figure.axes if axes.get_visible()]
    assert len(visible) == 5


def test_runs_have_their_colours_and_a_legend():
    figure = plot_curves({"bahdanau": records(), "日本語の run": records()})
    texts = texts_of(figure)
    assert {"bahdanau", "日本語の run"} <= set(texts)
    assert overflow(figure) < 0.01
    colors = {line.get_color() for line in figure.axes[0].lines}
    assert len(colors) == 2
    assert "only" not in texts_of(plot_curves({"only": records()}))


def test_many_runs_stay_apart():
    figure = plot_curves({f"run {i}": records() for i in range(10)})
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines}
    assert len(looks) == 10
    assert overflow(figure) < 0.01


@pytest.mark.parametrize(
    ("x", "scale", "name", "last"),
    [("step", 1, "step", 190), ("epoch", 1, "epoch", 1.9), ("seconds", 1, "time (minutes)", 380 / 60),
     ("seconds", 0.1, "time (seconds)", 38), ("seconds", 100, "time (hours)", 38000 / 3600)],
)  # fmt: skip
def test_the_horizontal_axis_is_steps_epochs_or_time(x, scale, name, last):
    log = [{**record, "seconds": record["seconds"] * scale} for record in records()]
    figure = plot_curves({"run": log}, x=x)
    assert name in texts_of(figure)
    assert lines_of(figure, "learning rate")[0][-1, 0] == pytest.approx(last)
    assert len({axes.get_xlim() for axes in figure.axes if axes.get_visible()}) == 1


def test_a_long_run_is_thinned_without_losing_its_mean():
    log = [{"step": i, "loss": float(i % 2)} for i in range(6000)]
    (line,) = lines_of(plot_curves({"run": log}), "loss per target token (dots: validation)")
    assert len(line) == 600
    np.testing.assert_allclose(line[:, 1].mean(), 0.5, atol=1e-3)


def test_a_log_without_the_quantities_is_refused():
    with pytest.raises(UserError, match="no quantity together with 'epoch'"):
        plot_curves({"run": [{"step": 1, "loss": 2.0}]}, x="epoch")
