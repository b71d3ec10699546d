"""Panels along the target: the measures as lines, gaps for excluded rows, thresholds where they belong."""

import math

import numpy as np
import pytest
from drawn import ENGLISH, JAPANESE, make_map, overflow, texts_of

from shisen import AttentionMap, UserError
from shisen.inspection import attention_statistics
from shisen.plotting import plot_statistics


def lines_of(axes) -> list:
    """The lines of heads: those with markers."""
    return [line for line in axes.lines if line.get_marker() not in ("None", None, "")]


def bounds_of(axes) -> dict[str, np.ndarray]:
    """What is dotted and what is dashed."""
    return {
        line.get_linestyle(): np.asarray(line.get_ydata())
        for line in axes.lines
        if line not in lines_of(axes)
    }


def test_each_measure_has_a_panel_and_each_head_a_line_through_its_values():
    measured = attention_statistics(make_map(layers=2, heads=3))
    figure = measured.plot()
    for axes, name in zip(figure.axes, ("entropy", "max_weight", "effective_positions"), strict=True):
        values = measured.measure(name).reshape(6, -1)
        for line, of_head in zip(lines_of(axes), values, strict=True):
            np.testing.assert_array_equal(line.get_ydata(), of_head)
    texts = texts_of(figure)
    assert {"entropy (nats)", "maximum weight", "effective positions", "target", *JAPANESE} <= set(texts)
    assert {"layer 0, head 0", "layer 1, head 2"} <= set(texts)
    assert overflow(figure) < 0.01


def test_heads_differ_by_more_than_colour():
    figure = plot_statistics(attention_statistics(make_map(heads=7)))
    lines = lines_of(figure.axes[0])
    assert len({line.get_color() for line in lines}) == 7
    assert len({line.get_marker() for line in lines}) == 7


def test_of_many_heads_the_mean_is_drawn_with_a_band():
    measured = attention_statistics(make_map(layers=2, heads=8))
    axes = plot_statistics(measured, measures=["gini"]).axes[0]
    (line,) = lines_of(axes)
    values = measured.gini.reshape(16, -1)
    np.testing.assert_allclose(line.get_ydata(), values.mean(axis=0))
    corners = axes.collections[0].get_paths()[0].vertices
    assert corners[:, 1].max() == pytest.approx(np.quantile(values, 0.95, axis=0).max())
    assert corners[:, 1].min() == pytest.approx(np.quantile(values, 0.05, axis=0).min())
    assert line.get_label() == "mean of 16 heads; band: 5 % to 95 % of them"


def test_thresholds_and_equal_weights_are_drawn_where_they_belong():
    measured = attention_statistics(make_map(), threshold=0.2, unit="bits")
    figure = plot_statistics(measured, thresholds={"entropy": 1.5})
    entropy, largest, positions = (bounds_of(axes) for axes in figure.axes)
    np.testing.assert_allclose(entropy[":"], math.log2(5))
    assert entropy["--"].tolist() == [1.5, 1.5]
    np.testing.assert_allclose(largest[":"], 1 / 5)
    assert largest["--"].tolist() == [0.2, 0.2]
    assert positions == {}
    assert {"equal weights", "threshold 0.2", "threshold 1.5", "entropy (bits)"} <= set(texts_of(figure))


def test_in_a_decoder_equal_weights_depend_on_the_position():
    weights = np.tril(np.ones((4, 4)))
    weights /= weights.sum(axis=1, keepdims=True)
    attention = AttentionMap.from_arrays(weights, list("abcd"), list("wxyz"), "decoder")
    axes = plot_statistics(attention_statistics(attention)).axes[0]
    np.testing.assert_allclose(bounds_of(axes)[":"], np.log([1, 2, 3, 4]))


def test_an_excluded_row_is_a_gap():
    weights = make_map().weights.copy()
    weights[:, :, 3] = 0
    attention = AttentionMap.from_arrays(weights, JAPANESE, ENGLISH)
    line = lines_of(plot_statistics(attention_statistics(attention)).axes[0])[0]
    assert np.flatnonzero(np.isnan(line.get_ydata())).tolist() == [3]
    many = AttentionMap.from_arrays(np.repeat(weights, 9, axis=1), JAPANESE, ENGLISH)
    line = lines_of(plot_statistics(attention_statistics(many)).axes[0])[0]
    assert np.flatnonzero(np.isnan(line.get_ydata())).tolist() == [3]


def test_the_names_come_in_japanese():
    measured = attention_statistics(make_map(heads=2), normalized=True)
    texts = texts_of(measured.plot(language="ja", title="注意"))
    expected = {
        "エントロピー（最大値に対する割合）",
        "最大の重み",
        "有効な位置の数",
        "訳文",
        "ヘッド 1",
        "しきい値 0.1",
    }
    assert expected | {"注意", "一様な重み"} <= set(texts)


@pytest.mark.parametrize("length", [1, 30, 400])
def test_sentences_of_any_length_fit_the_figure(length: int):
    tokens = [f"とても長い単語{i}" for i in range(length)]
    figure = attention_statistics(make_map(query_tokens=tokens)).plot(title="a title")
    assert "a title" in texts_of(figure)
    assert overflow(figure) < 0.01
    assert figure.get_size_inches()[0] < 18
    ticks = figure.axes[-1].get_xticks()
    assert tokens[: len(ticks)] == tokens if length <= 30 else len(ticks) < 150


def test_what_cannot_be_drawn_is_refused():
    measured = attention_statistics(make_map())
    with pytest.raises(UserError, match="no measure 'weight'"):
        plot_statistics(measured, measures=["weight"])
    with pytest.raises(UserError, match="no measure 'weight'"):
        plot_statistics(measured, thresholds={"weight": 1.0})
    with pytest.raises(UserError, match="one of en, ja, not 'fr'"):
        plot_statistics(measured, language="fr")
    nothing = AttentionMap.from_arrays(np.zeros((2, 3)), ["a", "b"], ["x", "y", "z"])
    with pytest.raises(UserError, match="nothing to draw"):
        attention_statistics(nothing).plot()
