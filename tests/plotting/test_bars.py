"""Bars: the weights of one step over the source."""

import numpy as np
import pytest
from drawn import ENGLISH, make_map, overflow, texts_of

from shisen import AttentionMap, UserError
from shisen.plotting import plot_bars


def test_each_key_has_a_bar_as_long_as_its_weight():
    attention_map = make_map()
    figure = plot_bars(attention_map, 2)
    axes = figure.axes[0]
    widths = [bar.get_width() for bar in axes.patches]
    np.testing.assert_allclose(widths, attention_map.matrix()[2])
    assert [label.get_text() for label in axes.get_yticklabels()] == ENGLISH
    assert {"step 2: 深層", "source", "attention weight"} <= set(texts_of(figure))
    assert overflow(figure) < 0.01


def test_steps_count_from_the_end_too_and_must_exist():
    assert "step 7: </s>" in texts_of(plot_bars(make_map(), -1))
    with pytest.raises(UserError, match="no step 8: the map has 8 produced tokens, counted from 0 to 7"):
        plot_bars(make_map(), 8)
    with pytest.raises(UserError, match="no step 0: the map has 0 produced tokens"):
        plot_bars(make_map(query_tokens=[]), 0)
    with pytest.raises(UserError, match="no attention maps"):
        plot_bars({}, 0)


def test_several_mechanisms_stand_side_by_side_on_one_scale():
    figure = plot_bars(
        {
            "bahdanau": make_map(),
            "none": AttentionMap.from_arrays(
                np.zeros((8, 5)), ["私", "は", "深層", "学習", "が", "好き", "です", "</s>"], ENGLISH
            ),
        },
        0,
        language="ja",
    )
    first, second = figure.axes
    assert first.get_xlim() == second.get_xlim()
    texts = texts_of(figure)
    assert {"bahdanau, ステップ 0: 私", "none, ステップ 0: 私", "注意の重み"} <= set(texts)
    assert texts.count("deep") == 1
    assert overflow(figure) < 0.01
