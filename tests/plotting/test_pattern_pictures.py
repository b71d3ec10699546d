"""Patterns as pictures."""

import numpy as np
import pytest
from drawn import overflow, texts_of

from shisen import UserError
from shisen.attention.patterns import bigbird, causal, global_tokens, window
from shisen.plotting import plot_pattern, plot_patterns


def test_the_picture_is_the_mask_with_its_title_and_its_share():
    pattern = window(3) & causal()
    figure = pattern.plot(20)
    (image,) = figure.axes[0].images
    np.testing.assert_array_equal(image.get_array(), pattern.mask(20).numpy())
    assert {"window(3) & causal()", "query", f"key · {pattern.density(20):.1%} allowed"} <= set(
        texts_of(figure)
    )
    assert overflow(figure) < 0.01


def test_several_stand_in_a_grid_under_the_titles_that_were_given():
    made = {
        "近傍": window(2),
        "causal": causal(),
        "CLS": global_tokens([0]),
        "BigBird": bigbird(4),
        "five": window(0),
    }
    figure = plot_patterns(made, 32, columns=3, language="ja")
    assert len(figure.axes) == 5
    assert {"近傍", "クエリ", "CLS"} <= set(texts_of(figure))
    assert overflow(figure) < 0.01
    lefts = [axes.get_position().x0 for axes in figure.axes]
    assert lefts[0] == lefts[3]


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(UserError, match="nothing to draw"):
        plot_patterns({}, 8)
    with pytest.raises(UserError, match="nothing to draw"):
        plot_pattern(causal(), 0)
    with pytest.raises(UserError, match="one of en, ja, not 'fr'"):
        plot_pattern(causal(), 8, language="fr")
