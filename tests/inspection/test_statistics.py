"""The numbers of a map: by hand, by plain Python row by row, within their bounds, and as tables."""

import csv
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from shisen.errors import UserError
from shisen.inspection import AttentionMap
from shisen.inspection.statistics import attention_statistics
from shisen.inspection.statistics_settings import MEASURES, StatisticsSettings

#: Checked by hand: one sharp row, five spread ones.
REFERENCE = [
    [0.65, 0.10, 0.05, 0.05, 0.10, 0.03, 0.02],
    [0.10, 0.70, 0.05, 0.05, 0.05, 0.03, 0.02],
    [0.05, 0.05, 0.05, 0.05, 0.10, 0.68, 0.02],
    [0.05, 0.05, 0.10, 0.75, 0.02, 0.02, 0.01],
    [0.05, 0.10, 0.70, 0.05, 0.05, 0.03, 0.02],
    [0.02, 0.02, 0.02, 0.02, 0.02, 0.02, 0.88],
]
JAPANESE = ["私", "は", "猫", "が", "好き", "</s>"]
ENGLISH = ["I", "like", "cats", ",", "really", ".", "</s>"]


def reference() -> AttentionMap:
    return AttentionMap.from_arrays(REFERENCE, JAPANESE, ENGLISH)


def random_map(shape=(2, 3, 5, 7), seed=0, kind="cross") -> AttentionMap:
    draw = np.random.default_rng(seed)
    weights = draw.dirichlet(np.full(shape[3], 0.5), size=shape[:3])
    if kind == "decoder":
        weights = np.tril(weights)
        weights /= weights.sum(axis=-1, keepdims=True)
    names = [f"語{i}" for i in range(max(shape[2:]))]
    return AttentionMap.from_arrays(weights, names[: shape[2]], names[: shape[3]], kind)


# ---------------------------------------------------------------- the formulas


def test_the_reference_matrix_has_the_values_found_by_hand():
    measured = attention_statistics(reference())
    entropies = [1.224, 1.113, 1.170, 0.948, 1.113, 0.582]
    np.testing.assert_allclose(measured.entropy[0, 0], entropies, atol=5e-4)
    assert measured.entropy.mean() == pytest.approx(1.0248, abs=5e-5)
    assert measured.effective_positions[0, 0].tolist() == [1, 1, 1, 1, 1, 1]
    np.testing.assert_allclose(measured.max_weight[0, 0], [0.65, 0.7, 0.68, 0.75, 0.7, 0.88], rtol=1e-6)
    assert measured.max_position[0, 0].tolist() == [0, 1, 5, 3, 2, 6]
    np.testing.assert_allclose(
        measured.punctuation_mass[0, 0], [0.08, 0.08, 0.73, 0.77, 0.08, 0.04], atol=1e-6
    )
    np.testing.assert_allclose(measured.end_mass[0, 0], [0.02, 0.02, 0.02, 0.01, 0.02, 0.88], atol=1e-6)
    np.testing.assert_allclose(measured.first_mass[0, 0], [0.65, 0.1, 0.05, 0.05, 0.05, 0.02], atol=1e-6)
    assert (measured.excluded_rows, measured.unnormalized_rows) == (0, 0)


def row_by_row(weights: list[float], query: int, queries: int, band: int) -> dict[str, float]:
    """Every measure of one row of cross-attention, in plain Python."""
    keys, total = len(weights), sum(weights)
    entropy = sum(-p * math.log(p) for p in weights if p > 0)
    middle = query * (keys - 1) / (queries - 1) if queries > 1 else 0
    differences = sum(abs(a - b) for a in weights for b in weights)
    return {
        "entropy": entropy,
        "perplexity": math.prod(p**-p for p in weights if p > 0),
        "max_weight": max(weights),
        "effective_positions": len([p for p in weights if p > 0.1]),
        "gini": differences / (2 * keys * total),  # the mean difference between two keys, over twice the mean
        "distance": sum(p * abs(query - k) for k, p in enumerate(weights)) / total,
        "diagonal_mass": sum(p for k, p in enumerate(weights) if abs(k - middle) <= band + 1e-9),
        "punctuation_mass": 0.0,
        "end_mass": 0.0,
        "first_mass": weights[0],
    }


@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1, 1, 1, 1), (1, 4, 9, 3), (1, 2, 70, 1100)])
@pytest.mark.parametrize("band", [0, 1, 2])
def test_every_measure_is_that_of_plain_python_row_by_row(shape, band):
    attention = random_map(shape)
    measured = attention_statistics(attention, band=band)
    rng = np.random.default_rng(3)
    places = list(np.ndindex(shape[:3]))
    for number in rng.choice(len(places), size=min(12, len(places)), replace=False):
        place = places[number]
        weights = [float(p) for p in attention.weights[place]]
        for name, value in row_by_row(weights, place[2], shape[2], band).items():
            assert measured.measure(name)[place] == pytest.approx(value, rel=2e-5, abs=2e-6), (name, place)
        assert measured.max_position[place] == weights.index(max(weights))


def test_entropy_comes_in_bits_and_as_a_share_of_that_of_equal_weights():
    attention = random_map()
    nats = attention_statistics(attention).entropy
    np.testing.assert_allclose(attention_statistics(attention, unit="bits").entropy, nats / math.log(2))
    np.testing.assert_allclose(attention_statistics(attention, normalized=True).entropy, nats / math.log(7))
    in_bits = attention_statistics(attention, unit="bits", normalized=True)
    np.testing.assert_allclose(in_bits.entropy, nats / math.log(7))
    np.testing.assert_allclose(in_bits.perplexity, np.exp(nats))


def test_the_diagonal_of_a_cross_map_runs_from_corner_to_corner():
    weights = np.zeros((3, 9))
    weights[[0, 1, 2], [0, 4, 8]] = 1
    attention = AttentionMap.from_arrays(weights, list("abc"), list("abcdefghi"))
    assert attention_statistics(attention, band=0).diagonal_mass[0, 0].tolist() == [1, 1, 1]
    assert attention_statistics(attention).distance[0, 0].tolist() == [0, 3, 6]
    itself = AttentionMap.from_arrays(weights, list("abc"), list("abcdefghi"), "encoder")
    assert attention_statistics(itself).diagonal_mass[0, 0].tolist() == [1, 0, 0]


def test_in_a_decoder_a_query_has_the_keys_up_to_its_own():
    weights = np.array([[1.0, 0, 0], [0.5, 0.5, 0], [0.2, 0.3, 0.5]])
    attention = AttentionMap.from_arrays(weights, ["猫", "だ", "</s>"], ["<s>", "猫", "だ"], "decoder")
    measured = attention_statistics(attention, normalized=True)
    expected = -(0.2 * math.log(0.2) + 0.3 * math.log(0.3) + 0.5 * math.log(0.5)) / math.log(3)
    np.testing.assert_allclose(measured.entropy[0, 0], [np.nan, 1, expected], rtol=1e-6)
    np.testing.assert_allclose(measured.gini[0, 0], [0, 0, 0.2], atol=1e-6)
    np.testing.assert_allclose(measured.uniform_entropy, [np.nan, 1, 1])


def test_a_decoder_that_looks_ahead_is_measured_over_all_keys():
    attention = AttentionMap.from_arrays(np.full((3, 3), 1 / 3), list("abc"), list("abc"), "decoder")
    np.testing.assert_allclose(attention_statistics(attention, normalized=True).entropy, 1, rtol=1e-6)
    np.testing.assert_allclose(attention_statistics(attention).uniform_entropy, math.log(3))


def test_what_is_punctuation_and_what_ends_a_sentence_can_be_said():
    attention = AttentionMap.from_arrays([[0.1, 0.2, 0.3, 0.4]], ["x"], ["猫", "。", "[SEP]", "<end>"])
    usual = attention_statistics(attention)
    assert usual.punctuation_mass.item() == pytest.approx(0.2)
    assert usual.end_mass.item() == pytest.approx(0.3)
    named = attention_statistics(attention, punctuation=["猫"], end_tokens=["<end>"])
    assert named.punctuation_mass.item() == pytest.approx(0.1)
    assert named.end_mass.item() == pytest.approx(0.4)
    assert named.settings.end_tokens == ("<end>",)


def test_threads_share_the_work_and_change_nothing():
    attention = random_map((3, 5, 70, 90))
    one, three = (attention_statistics(attention, threads=threads) for threads in (1, 3))
    for name in (*MEASURES, "max_position", "row_sums"):
        np.testing.assert_array_equal(getattr(one, name), getattr(three, name))


# ---------------------------------------------------------------- what is left out, and what is reported


def test_rows_of_zeros_and_of_padding_are_excluded_and_counted():
    weights = np.full((2, 2, 4, 3), 1 / 3)
    weights[0, 1, 2] = 0
    attention = AttentionMap.from_arrays(weights, ["a", "b", "c", "<pad>"], ["x", "y", "z"])
    measured = attention_statistics(attention)
    assert measured.excluded_rows == 1 + 4
    assert not measured.is_valid[0, 1, 2]
    assert not measured.is_valid[..., 3].any()
    for name in MEASURES:
        np.testing.assert_array_equal(np.isnan(measured.measure(name)), ~measured.is_valid, err_msg=name)
    assert (measured.max_position[~measured.is_valid] == -1).all()
    assert measured.overall()["entropy"].count == 16 - 5


def test_weights_that_do_not_sum_to_one_are_reported_and_measured_as_they_are():
    weights = np.array([[0.5, 0.5], [0.5, 0.25], [0.503, 0.503], [1.5, 0.5]])
    measured = attention_statistics(AttentionMap.from_arrays(weights, list("abcd"), list("xy")))
    assert measured.unnormalized_rows == 2
    assert measured.largest_deviation == pytest.approx(1.0)
    assert measured.entropy[0, 0, 1] == pytest.approx(-(0.5 * math.log(0.5) + 0.25 * math.log(0.25)))
    assert measured.max_weight[0, 0, 3] == 1.5
    assert measured.distance[0, 0, 1] == pytest.approx((0.5 * 1 + 0.25 * 0) / 0.75)


def test_maps_without_rows_or_keys_have_nothing_but_say_so():
    no_rows = attention_statistics(AttentionMap.from_arrays(np.zeros((2, 3, 0, 4)), [], list("abcd")))
    assert no_rows.entropy.shape == (2, 3, 0)
    assert no_rows.overall()["entropy"].count == 0
    assert math.isnan(no_rows.overall()["gini"].mean)
    no_keys = attention_statistics(AttentionMap.from_arrays(np.zeros((1, 1, 2, 0)), list("ab"), []))
    assert no_keys.excluded_rows == 2
    assert (no_keys.excluded_rows, no_keys.largest_deviation) == (2, 0.0)
    assert np.isnan(no_keys.gini).all()
    assert [row["max_token"] for row in no_keys.table("row")] == ["", ""]


def test_weights_too_small_for_a_logarithm_count_as_what_they_are():
    tiny = np.float32(1e-42)  # below the normal numbers
    measured = attention_statistics(AttentionMap.from_arrays([[1.0, tiny, 0.0]], ["a"], list("xyz")))
    assert measured.entropy.item() == pytest.approx(0, abs=1e-38)


# ---------------------------------------------------------------- properties


SIZES = st.tuples(*(st.integers(1, most) for most in (2, 3, 6, 9)))
SEEDS = st.integers(0, 2**32 - 1)
SHARPNESS = st.sampled_from([0.02, 0.3, 5.0])


def drawn(size: tuple[int, ...], seed: int, sharpness: float) -> AttentionMap:
    weights = np.maximum(np.random.default_rng(seed).gamma(sharpness, size=size), 1e-20)
    weights /= weights.sum(axis=-1, keepdims=True)
    names = [f"w{i}" for i in range(9)]
    return AttentionMap.from_arrays(weights, names[: size[2]], names[: size[3]])


@given(SIZES, SEEDS, SHARPNESS)
@settings(deadline=None, max_examples=60)
def test_the_measures_of_a_distribution_stay_within_their_bounds(size, seed, sharpness):
    attention = drawn(size, seed, sharpness)
    measured, keys = attention_statistics(attention), attention.weights.shape[3]
    bounds = {
        "entropy": (0, math.log(keys)),
        "perplexity": (1, keys),
        "max_weight": (1 / keys, 1),
        "effective_positions": (0, min(keys, 9)),
        "gini": (0, 1 - 1 / keys),
        "distance": (0, max(keys, attention.weights.shape[2]) - 1),
        "diagonal_mass": (0, 1),
        "punctuation_mass": (0, 0),
        "end_mass": (0, 0),
        "first_mass": (0, 1),
    }
    assert bounds.keys() == set(MEASURES)
    for name, (low, high) in bounds.items():
        values = measured.measure(name)
        assert values.min() >= low - 1e-5, name
        assert values.max() <= high * (1 + 1e-5) + 1e-5, name


@given(SIZES, SEEDS, SHARPNESS, st.integers(0, 3), st.integers(0, 3), st.booleans())
@settings(deadline=None, max_examples=40)
def test_padding_changes_nothing(size, seed, sharpness, rows, columns, is_before):
    attention = drawn(size, seed, sharpness)
    queries, keys = attention.weights.shape[2:]
    top, left = (rows, columns) if is_before else (0, 0)
    weights = np.zeros((*attention.weights.shape[:2], queries + rows, keys + columns), np.float32)
    inside = (..., slice(top, top + queries), slice(left, left + keys))
    weights[inside] = attention.weights

    def padded(tokens: tuple[str, ...], count: int) -> list[str]:
        padding = ["<pad>"] * count
        return [*padding, *tokens] if is_before else [*tokens, *padding]

    query_tokens, key_tokens = padded(attention.query_tokens, rows), padded(attention.key_tokens, columns)
    whole = AttentionMap.from_arrays(weights, query_tokens, key_tokens)
    for normalized in (False, True):
        plain = attention_statistics(attention, normalized=normalized)
        measured = attention_statistics(whole, normalized=normalized)
        assert measured.excluded_rows == rows * attention.layers * attention.heads
        for name in MEASURES:
            of_tokens = measured.measure(name)[:, :, top : top + queries]
            np.testing.assert_allclose(of_tokens, plain.measure(name), atol=2e-6, rtol=2e-6, err_msg=name)


@given(SIZES, SEEDS, SHARPNESS, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=40)
def test_the_order_of_the_keys_matters_only_where_position_is_measured(size, seed, sharpness, random):
    attention = drawn(size, seed, sharpness)
    order = list(range(attention.weights.shape[3]))
    random.shuffle(order)
    tokens = [attention.key_tokens[i] for i in order]
    moved = AttentionMap.from_arrays(attention.weights[..., order], attention.query_tokens, tokens)
    before, after = attention_statistics(attention), attention_statistics(moved)
    for name in ("entropy", "perplexity", "max_weight", "effective_positions", "gini", "punctuation_mass"):
        np.testing.assert_allclose(
            after.measure(name), before.measure(name), rtol=1e-5, atol=1e-6, err_msg=name
        )


# ---------------------------------------------------------------- summaries, tables and files


def test_a_summary_is_mean_deviation_quantiles_and_students_interval():
    measured = attention_statistics(random_map((2, 3, 20, 7)))
    values = measured.entropy[1, 2]
    summary = measured.by_head()["entropy"].at(1, 2)
    assert summary["count"] == 20
    assert summary["mean"] == pytest.approx(np.mean(values))
    assert summary["deviation"] == pytest.approx(np.std(values, ddof=1))
    for name, share in (("q05", 0.05), ("q25", 0.25), ("q50", 0.5), ("q75", 0.75), ("q95", 0.95)):
        assert summary[name] == pytest.approx(np.quantile(values, share)), name
    low, high = stats.t.interval(0.95, 19, np.mean(values), stats.sem(values))
    assert (summary["low"], summary["high"]) == (pytest.approx(low), pytest.approx(high))


def test_summaries_by_layer_and_overall_are_over_all_their_rows():
    measured = attention_statistics(random_map())
    np.testing.assert_allclose(measured.by_layer()["gini"].mean, measured.gini.mean(axis=(1, 2)))
    assert measured.overall()["gini"].mean == pytest.approx(measured.gini.mean())
    assert measured.overall()["gini"].count.shape == ()


def test_a_summary_passes_over_excluded_rows():
    weights = random_map((1, 1, 6, 4)).weights.copy()
    weights[0, 0, [1, 4]] = 0
    attention = AttentionMap.from_arrays(weights, list("abcdef"), list("wxyz"))
    values = attention_statistics(attention).max_weight
    summary = attention_statistics(attention).overall()["max_weight"]
    kept = values[~np.isnan(values)]
    assert summary.count == len(kept) == 4
    np.testing.assert_allclose(summary.quantiles, np.quantile(kept, [0.05, 0.25, 0.5, 0.75, 0.95]))
    assert summary.deviation == pytest.approx(np.std(kept, ddof=1))


def test_one_row_has_a_mean_and_no_deviation():
    summary = attention_statistics(AttentionMap.from_arrays([[1.0]], ["猫"], ["cat"])).overall()["entropy"]
    assert summary.mean == 0
    assert np.isnan([summary.deviation, summary.low, summary.high]).all()


def test_tables_have_a_row_for_each_part_and_measure_or_each_row_of_the_map():
    measured = attention_statistics(random_map())
    assert len(measured.table("head")) == 6 * len(MEASURES)
    assert len(measured.table("layer")) == 2 * len(MEASURES)
    assert [row["measure"] for row in measured.table("map")] == list(MEASURES)
    rows = measured.table("row", ["entropy"])
    assert len(rows) == 2 * 3 * 5
    assert rows[7] == {
        "layer": 0,
        "head": 1,
        "query": 2,
        "token": "語2",
        "max_position": measured.max_position[0, 1, 2],
        "max_token": f"語{measured.max_position[0, 1, 2]}",
        "entropy": measured.entropy[0, 1, 2],
        "row_sum": measured.row_sums[0, 1, 2],
    }


def test_the_tables_are_written_as_csv_json_and_data_frames(tmp_path):
    weights = [*REFERENCE[:5], [0.0] * 7]
    attention = AttentionMap.from_arrays(weights, JAPANESE, ENGLISH, metadata={"model": "fable"})
    measured = attention_statistics(attention)
    measured.to_csv(tmp_path / "rows.csv")
    with open(tmp_path / "rows.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["token"] for row in rows] == JAPANESE
    assert float(rows[0]["entropy"]) == measured.entropy[0, 0, 0]
    assert rows[-1]["entropy"] == ""
    text = measured.to_json(tmp_path / "rows.json")
    content = json.loads((tmp_path / "rows.json").read_text(encoding="utf-8"))
    assert json.loads(text) == content
    assert content["settings"] == measured.settings.as_dict()
    assert content["metadata"] == {"model": "fable"}
    assert content["excluded_rows"] == 1
    assert content["rows"][-1]["entropy"] is None
    frame = measured.to_pandas("head", ["entropy"])
    assert frame.loc[0, "mean"] == pytest.approx(np.nanmean(measured.entropy))


def test_the_settings_survive_json():
    chosen = StatisticsSettings(0.2, "bits", True, 3, ("<end>",), ("!",))
    assert StatisticsSettings.from_dict(json.loads(json.dumps(chosen.as_dict()))) == chosen


def test_it_says_in_a_line_what_it_holds():
    assert repr(attention_statistics(reference())) == (
        "AttentionStatistics([1, 1, 6] [layers, heads, queries], mean entropy 1.025, mean max weight 0.727, "
        "0 rows excluded, 0 not normalised)"
    )


def test_what_makes_no_sense_is_refused_in_one_line():
    attention = reference()
    with pytest.raises(UserError, match="at least 0 and below 1; this is 1"):
        attention_statistics(attention, threshold=1.0)
    with pytest.raises(UserError, match="nats, bits, not 'bans'"):
        StatisticsSettings(unit="bans")
    with pytest.raises(UserError, match="0 keys wide or more, not -1"):
        attention_statistics(attention, band=-1)
    with pytest.raises(UserError, match="not one string: '</s>'"):
        attention_statistics(attention, end_tokens="</s>")
    with pytest.raises(UserError, match="no measure 'entrpy'; there are entropy"):
        attention_statistics(attention).by_head(["entrpy"])
    with pytest.raises(UserError, match="head, layer, map or row, not by 'word'"):
        attention_statistics(attention).table("word")
    with pytest.raises(UserError, match="no settings of attention statistics"):
        StatisticsSettings.from_dict({"thresh": 1})
