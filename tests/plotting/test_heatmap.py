"""The annotated heatmap: what it shows, where it puts it, and that it copes with any sentence."""

from itertools import pairwise

import numpy as np
import pytest
from drawn import ENGLISH, JAPANESE, make_map, overflow, texts_of
from matplotlib.text import Text

from shisen import AttentionMap, UserError
from shisen.plotting import plot_comparison, plot_heatmap, save_figure


def panels_of(figure):
    """The heatmaps of a figure; the colour bar is the last axes."""
    return figure.axes[:-1]


def test_the_source_runs_along_the_top_and_the_target_down_the_side():
    axes = panels_of(plot_heatmap(make_map()))[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ENGLISH
    assert [label.get_text() for label in axes.get_yticklabels()] == JAPANESE
    top, bottom = axes.transData.transform([(0, 0), (0, 7)])[:, 1]
    assert top > bottom


def test_every_cell_has_the_colour_of_its_weight():
    attention_map = make_map()
    figure = plot_heatmap(attention_map)
    mesh = panels_of(figure)[0].collections[0]
    np.testing.assert_allclose(mesh.get_array().reshape(8, 5), attention_map.matrix())
    assert mesh.get_clim()[0] == 0


def test_numbers_are_written_where_they_fit_and_the_colour_says_the_rest():
    weights = [[0.986, 0.01, 0.004], [0.0, 0.0, 0.0]]
    figure = plot_heatmap(AttentionMap.from_arrays(weights, ["a", "b"], ["x", "y", "z"]))
    numbers = [text.get_text() for text in panels_of(figure)[0].texts if "." in text.get_text()]
    assert numbers == ["0.99", "0.01"]
    assert "0.99" not in texts_of(plot_heatmap(make_map(), numbers=False))


def test_numbers_that_would_not_fit_are_left_out_and_can_be_asked_for():
    long = make_map([f"t{i}" for i in range(40)], [f"s{i}" for i in range(40)])
    assert panels_of(plot_heatmap(long))[0].texts[0].get_text() == "source"
    asked = plot_heatmap(long, numbers=True)
    assert len(panels_of(asked)[0].texts) > 100
    assert asked.get_figwidth() > plot_heatmap(long).get_figwidth()
    wide = AttentionMap.from_arrays(np.full((5, 5), 12345.0), list("abcde"), list("vwxyz"))
    assert "12345.00" not in texts_of(plot_heatmap(wide))


def test_numbers_stand_out_from_their_cells():
    figure = plot_heatmap(AttentionMap.from_arrays([[1.0, 0.05]], ["a"], ["x", "y"]))
    colors = {text.get_text(): text.get_color() for text in panels_of(figure)[0].texts}
    assert colors["1.00"] == "white"
    assert colors["0.05"] != "white"


def test_labels_in_both_languages_and_no_other():
    assert {"source", "target", "attention weight"} <= set(texts_of(plot_heatmap(make_map())))
    assert {"原文", "訳文", "注意の重み"} <= set(texts_of(plot_heatmap(make_map(), language="ja")))
    own = AttentionMap.from_arrays([[1.0]], ["a"], ["a"], kind="encoder")
    assert {"query", "key"} <= set(texts_of(plot_heatmap(own)))
    with pytest.raises(UserError, match="one of en, ja, not 'fr'"):
        plot_heatmap(make_map(), language="fr")


def test_layers_and_heads_make_a_grid_that_says_each_thing_once():
    figure = make_map(layers=2, heads=3).plot()
    assert len(panels_of(figure)) == 6
    texts = texts_of(figure)
    assert "layer 1, head 2" in texts
    assert texts.count("深層") == 2
    assert texts.count("deep") == 3
    assert texts_of(make_map(heads=8).plot()).count("深層") == 2  # four side by side


def test_a_comparison_has_one_scale_for_all():
    maps = {"none": AttentionMap.from_arrays(np.zeros((8, 5)), JAPANESE, ENGLISH), "bahdanau": make_map()}
    maps["luong-dot"] = AttentionMap.from_arrays(make_map().matrix() / 2, JAPANESE, ENGLISH)
    figure = plot_comparison(maps)
    assert len({panel.collections[0].get_clim() for panel in panels_of(figure)}) == 1
    assert {"none", "bahdanau", "luong-dot"} <= set(texts_of(figure))
    assert texts_of(figure).count("深層") == 1
    with pytest.raises(UserError, match="nothing to compare"):
        plot_comparison({})


def test_a_comparison_of_different_translations_labels_each():
    figure = plot_comparison({"a": make_map(), "b": make_map(query_tokens=["深層", "学習"])})
    assert texts_of(figure).count("深層") == 2


def test_several_heads_in_a_comparison_are_a_mean_and_say_so():
    maps = {"many": make_map(layers=2, heads=4), "one": make_map()}
    figure = plot_comparison(maps)
    assert {"many (mean of 8 heads)", "one"} <= set(texts_of(figure))
    drawn = panels_of(figure)[0].collections[0].get_array().reshape(8, 5)
    np.testing.assert_allclose(drawn, maps["many"].matrix())


def test_long_sentences_stand_below_each_other():
    long = make_map([f"t{i}" for i in range(60)], [f"s{i}" for i in range(70)])
    first, second = panels_of(plot_comparison({"a": long, "b": long}))
    assert first.get_position().y0 > second.get_position().y1


def test_the_scale_ends_at_the_largest_weight_or_where_it_is_told():
    for largest, end in [(0.81, 0.85), (0.85, 0.85), (1.0, 1.0), (0.9999999, 1.0), (3.01, 3.05), (0.1, 0.5)]:
        bar = plot_heatmap(AttentionMap.from_arrays([[largest, 0.1]], ["a"], ["x", "y"])).axes[-1]
        assert bar.get_ylim() == pytest.approx((0, end))
    assert plot_heatmap(make_map(), maximum=2.0).axes[-1].get_ylim() == (0, 2)
    zeros = plot_heatmap(AttentionMap.from_arrays([[0.0]], ["a"], ["x"]))
    assert zeros.axes[-1].get_ylim() == (0, 0.5)
    with pytest.raises(UserError, match="positive number, not at 0"):
        plot_heatmap(make_map(), maximum=0.0)


@pytest.mark.parametrize(
    "token",
    ["$x_2^3$", r"\frac{1}{2}", "<b>bold</b>", "&amp;", "a_b^c", "$", "100 %", "{}", "▁the", "</s>"],
)
def test_tokens_are_shown_as_they_are(token):
    figure = plot_heatmap(AttentionMap.from_arrays([[1.0]], [token], [token]))
    assert texts_of(figure).count(token.replace(" ", "␣")) == 2
    assert overflow(figure) < 0.01


def test_no_text_is_read_as_mathematics():
    figure = plot_heatmap(make_map(["$x$"], ["$y$"]), title="$z$")
    assert not any(text.get_parse_math() for text in figure.findobj(Text) if text.get_text())


def test_white_space_and_control_characters_are_made_visible():
    figure = plot_heatmap(make_map(["a\nb", "\t", "\x00"], [" ", "x\u3000y"]))
    assert {"a↵b", "⇥", "�", "␣", "x␣y"} <= set(texts_of(figure))


def test_a_very_long_token_is_cut_with_an_ellipsis():
    figure = plot_heatmap(make_map(["y" * 1_000_000, "short"], ["x" * 500, "k"]))
    shown = [text for text in texts_of(figure) if text[0] in "xy" and len(text) > 5]
    assert len(shown) == 2
    assert all(text.endswith("…") and len(text) < 40 for text in shown)
    assert overflow(figure) < 0.01
    assert figure.get_figwidth() < 6


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (3, 2), (12, 14), (33, 30), (60, 70), (100, 100)])
def test_nothing_is_clipped_whatever_the_size(size):
    queries, keys = size
    words = ["internationalization", "で", "of", "深層学習", "a"]
    attention_map = make_map(
        [words[i % 5] for i in range(queries)], [words[(i + 2) % 5] for i in range(keys)]
    )
    figure = plot_heatmap(attention_map, title="a title over it all")
    assert overflow(figure) < 0.01


@pytest.mark.parametrize("size", [(12, 14), (60, 70), (100, 100)])
def test_labels_do_not_overlap(size):
    words = ["internationalization", "で", "of", "深層学習", "a"]
    figure = plot_heatmap(make_map(*([words[i % 5] for i in range(n)] for n in size)))
    renderer = figure.canvas.get_renderer()
    figure.draw(renderer)
    boxes = [label.get_window_extent(renderer) for label in panels_of(figure)[0].get_yticklabels()]
    assert len(boxes) == size[0]
    for upper, lower in pairwise(boxes):
        assert (upper.y0 + upper.y1 - lower.y0 - lower.y1) / 2 >= 0.85 * figure.dpi / 72 * 7.5


def test_a_sentence_of_a_thousand_words_still_makes_a_picture(tmp_path):
    tokens = [f"w{i}" for i in range(1000)]
    figure = plot_heatmap(make_map(tokens, tokens))
    assert max(figure.get_size_inches()) < 50
    assert 100 < len(panels_of(figure)[0].get_xticklabels()) < 400
    save_figure(figure, tmp_path / "a.png", dpi=40)
    assert (tmp_path / "a.png").stat().st_size > 10_000


@pytest.mark.parametrize("length", [3, 14, 30, 60])
def test_titles_and_names_are_clear_of_the_labels(length):
    long = "internationalization"
    figure = plot_comparison(
        {t: make_map([long, "b"] * 2, [long, "で"] * (length // 2)) for t in ("one", "two")}
    )
    renderer = figure.canvas.get_renderer()
    figure.draw(renderer)
    for axes in panels_of(figure):
        names = [text for text in axes.texts if text.get_text() in ("one", "two", "source", "target")]
        labels = [*axes.get_xticklabels(), *axes.get_yticklabels()]
        boxes = [label.get_window_extent(renderer) for label in labels if label.get_text()]
        assert len(names) >= 2
        for name in names:
            assert name.get_window_extent(renderer).count_overlaps(boxes) == 0


def test_layers_and_heads_have_japanese_names_too():
    weights = np.full((2, 2, 3, 4), 0.25)
    attention_map = AttentionMap.from_arrays(weights, list("あいう"), list("abcd"))
    assert {"層 0, ヘッド 1", "層 1, ヘッド 0"} <= set(texts_of(plot_heatmap(attention_map, language="ja")))
    assert "a (4 ヘッドの平均)" in texts_of(plot_comparison({"a": attention_map}, language="ja"))
