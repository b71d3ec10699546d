"""Heads side by side, and how far apart they are: the values drawn, the names, the edges of the figure."""

from itertools import pairwise

import numpy as np
import pytest
from drawn import ENGLISH, JAPANESE, make_map, overflow, texts_of

from shisen import AttentionMap, UserError
from shisen.inspection import head_similarity, recognize_patterns
from shisen.inspection.pattern_names import PATTERN_NAMES
from shisen.plotting import plot_gallery, plot_similarity, save_figure


def corpus(layers=2, heads=3):
    return [make_map(layers=layers, heads=heads, seed=seed) for seed in range(6)]


@pytest.mark.parametrize("language", ["en", "ja"])
def test_each_panel_shows_the_weights_of_its_head_under_its_pattern_and_confidence(language):
    maps = corpus()
    patterns = recognize_patterns(maps)
    figure = plot_gallery(maps[0], patterns, language=language)
    assert len(figure.axes) == 6
    for number, axes in enumerate(figure.axes):
        layer, head = divmod(number, 3)
        np.testing.assert_array_equal(axes.images[0].get_array(), maps[0].weights[layer, head])
        assert axes.images[0].get_clim() == (0, maps[0].weights[layer, head].max())
        name = PATTERN_NAMES[language][patterns.names[layer][head]]
        assert axes.get_title(loc="left").splitlines()[1] == f"{name} {patterns.confidence[layer, head]:.2f}"
    assert {*ENGLISH, *JAPANESE} <= set(texts_of(figure))
    assert overflow(figure) < 0.01


def test_layers_are_rows_and_heads_columns():
    maps = corpus()
    corners = [
        axes.get_position().get_points()[0] for axes in plot_gallery(maps[0], recognize_patterns(maps)).axes
    ]
    left, bottom = np.array(corners).reshape(2, 3, 2).transpose(2, 0, 1)
    assert (np.diff(left, axis=1) > 0).all()
    assert (np.diff(left, axis=0) == 0).all()
    assert (np.diff(bottom, axis=0) < 0).all()


@pytest.mark.parametrize("language", ["en", "ja"])
def test_no_title_reaches_into_the_next_panel(language):
    weights = np.zeros((1, 4, 3, 3))
    weights[..., 1] = 1  # "the same columns", the longest name, above the narrowest panels
    one = AttentionMap.from_arrays(weights, ["a", "b", "c"], ["a", "b", "c"], "encoder")
    figure = plot_gallery(one, recognize_patterns([one]), language=language)
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    boxes = [axes.get_tightbbox(renderer) for axes in figure.axes]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
    assert overflow(figure) < 0.01


def test_long_tokens_and_rows_of_zeros_are_drawn_inside_the_figure():
    tokens = ["超長い" * 20, "x" * 90, "</s>"]
    weights = np.full((1, 1, 3, 3), 1 / 3)
    weights[..., 1, :] = 0
    one = AttentionMap.from_arrays(weights, tokens, tokens, "encoder")
    figure = plot_gallery(one, recognize_patterns([one]))
    assert overflow(figure) < 0.01
    assert any(text.endswith("…") for text in texts_of(figure))


def test_distances_stand_in_the_order_of_the_tree():
    similarity = head_similarity(corpus())
    tree, matrix = plot_similarity(similarity).axes[:2]
    order = similarity.order()
    drawn = matrix.images[0].get_array()
    np.testing.assert_allclose(drawn, similarity.distance[np.ix_(order, order)])
    labels = [text.get_text() for text in matrix.get_xticklabels()]
    assert labels == [f"{place // 3}.{place % 3}" for place in order]
    heights = [path.vertices[:, 1].max() for lines in tree.collections for path in lines.get_paths()]
    np.testing.assert_allclose(sorted(heights), similarity.linkage()[:, 2])


def test_two_equal_heads_lie_at_0_and_a_language_is_one_of_two():
    same = [
        AttentionMap.from_arrays(
            np.repeat(one.weights, 2, axis=1), one.query_tokens, one.key_tokens, kind="cross"
        )
        for one in corpus(1, 1)
    ]
    similarity = head_similarity(same)
    assert plot_similarity(similarity, language="ja").axes[1].images[0].get_array().max() < 1e-6
    with pytest.raises(UserError, match="one of en, ja"):
        plot_similarity(similarity, language="fr")
    with pytest.raises(UserError, match="one of en, ja"):
        plot_gallery(same[0], recognize_patterns(same), language="fr")


def test_too_many_heads_are_refused():
    many = AttentionMap.from_arrays(np.full((21, 20, 2, 2), 0.5), ["a", "b"], ["a", "b"], "encoder")
    with pytest.raises(UserError, match="400 heads at most, not 420"):
        plot_gallery(many, recognize_patterns([many]))


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_both_are_written_in_every_format(tmp_path, ending):
    maps = corpus()
    for name, figure in (
        ("gallery", plot_gallery(maps[0], recognize_patterns(maps), language="ja")),
        ("distances", plot_similarity(head_similarity(maps))),
    ):
        path = tmp_path / f"{name}.{ending}"
        save_figure(figure, path)
        assert path.stat().st_size > 1000
