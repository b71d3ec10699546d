"""The statistics of a corpus: those of all its rows, however it was cut into parts."""

import gc
import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from shisen.errors import UserError
from shisen.inspection import AttentionMap
from shisen.inspection.corpus_statistics import STREAMED_MEASURES, CorpusStatistics, length_group
from shisen.inspection.statistics import attention_statistics
from shisen.inspection.statistics_settings import MEASURES, StatisticsSettings
from shisen.inspection.streaming import Moments, histogram_quantiles, log_histogram
from shisen.inspection.summary import QUANTILES, Summary


def sentences(count: int, seed: int = 0, layers: int = 2, heads: int = 3) -> list[AttentionMap]:
    """Maps of sentences of different lengths; in each, all heads are about as sharp."""
    draw = np.random.default_rng(seed)
    maps = []
    for _ in range(count):
        queries, keys = draw.integers(1, 9), draw.integers(2, 9)
        weights = draw.dirichlet(np.full(keys, draw.uniform(0.1, 3)), size=(layers, heads, queries))
        words = [f"語{i}" for i in range(8)]
        tokens = [*words[: queries - 1], "</s>"]
        maps.append(AttentionMap.from_arrays(weights, tokens, [*words[: keys - 2], "。", "</s>"]))
    return maps


def gathered(maps: list[AttentionMap], **options) -> CorpusStatistics:
    corpus = CorpusStatistics(**options)
    for attention_map in maps:
        corpus.add(attention_map)
    return corpus


def rows_of(maps: list[AttentionMap], measure: str) -> list[np.ndarray]:
    """Of every sentence the values ``[layers, heads, queries]``."""
    return [attention_statistics(attention_map).measure(measure) for attention_map in maps]


def assert_alike(first: dict[str, Summary], second: dict[str, Summary]) -> None:
    """Counts and quantiles are the same to the bit, the rest but for rounding."""
    assert first.keys() == second.keys()
    for name, summary in first.items():
        np.testing.assert_array_equal(summary.count, second[name].count, err_msg=name)
        np.testing.assert_array_equal(summary.quantiles, second[name].quantiles, err_msg=name)
        for part in ("mean", "deviation", "low", "high"):
            expected = getattr(second[name], part)
            np.testing.assert_allclose(
                getattr(summary, part), expected, rtol=1e-9, atol=1e-9, err_msg=f"{name} {part}"
            )


# ---------------------------------------------------------------- the formulas


@pytest.mark.parametrize("measure", MEASURES)
def test_mean_deviation_and_quantiles_are_those_of_all_rows(measure):
    maps = sentences(40)
    corpus = gathered(maps, measures=MEASURES)
    every = np.concatenate(rows_of(maps, measure), axis=-1)  # [layers, heads, rows]
    levels = (
        (corpus.by_head(), every),
        (corpus.by_layer(), every.reshape(2, -1)),
        (corpus.overall(), every.reshape(-1)),
    )
    for summaries, values in levels:
        summary = summaries[measure]
        assert (summary.count == values.shape[-1]).all()
        np.testing.assert_allclose(summary.mean, values.mean(axis=-1))
        np.testing.assert_allclose(summary.deviation, values.std(axis=-1, ddof=1), atol=1e-12)
        exact = np.moveaxis(np.quantile(values, QUANTILES, axis=-1, method="inverted_cdf"), 0, -1)
        np.testing.assert_allclose(summary.quantiles, exact, rtol=0.0101, atol=1e-3)


@pytest.mark.parametrize("level", ["by_head", "by_layer", "overall"])
def test_the_interval_takes_whole_sentences_for_independent(level):
    maps = sentences(25)
    axes = {"by_head": (-1,), "by_layer": (-2, -1), "overall": (-3, -2, -1)}[level]
    values = rows_of(maps, "entropy")
    sums = np.array([one.sum(axis=axes) for one in values])  # [sentences, parts]
    sizes = np.array([np.ones(one.shape).sum(axis=axes) for one in values])
    mean = sums.sum(axis=0) / sizes.sum(axis=0)
    residuals = sums - mean * sizes
    error = np.sqrt(25 / 24 * (residuals**2).sum(axis=0)) / sizes.sum(axis=0)
    summary = getattr(gathered(maps), level)()["entropy"]
    assert summary.unit == "sentences"
    np.testing.assert_allclose(summary.high - summary.mean, stats.t.ppf(0.975, 24) * error, rtol=1e-9)
    np.testing.assert_allclose(summary.mean - summary.low, stats.t.ppf(0.975, 24) * error, rtol=1e-9)


def test_of_sentences_equally_long_the_interval_is_students_of_their_means():
    draw = np.random.default_rng(1)
    maps = [
        AttentionMap.from_arrays(draw.dirichlet(np.ones(5), size=(1, 2, 4)), list("abcd"), list("vwxyz"))
        for _ in range(12)
    ]
    means = [attention_statistics(attention_map).entropy.mean() for attention_map in maps]
    low, high = stats.t.interval(0.95, 11, np.mean(means), stats.sem(means))
    summary = gathered(maps).overall()["entropy"].at()
    assert (summary["low"], summary["high"]) == (pytest.approx(low), pytest.approx(high))


def test_the_interval_holds_the_true_mean_as_often_as_it_says():
    # Rows of a sentence share its sharpness: an interval over rows would be right far less often.
    draw = np.random.default_rng(5)
    trials, hits, hits_by_rows, truth = 80, 0, 0, 0.75
    for _ in range(trials):
        corpus, every = CorpusStatistics(measures=["max_weight"]), []
        for sharpness in draw.uniform(0.6, 0.9, size=15):
            largest = sharpness + draw.uniform(-0.02, 0.02, size=draw.integers(2, 12))
            weights = np.stack([largest, 1 - largest], axis=1)
            corpus.add(AttentionMap.from_arrays(weights, ["w"] * len(largest), ["x", "y"]))
            every.append(largest)
        summary = corpus.overall()["max_weight"]
        hits += summary.low <= truth <= summary.high
        rows = np.concatenate(every)
        low, high = stats.t.interval(0.95, len(rows) - 1, rows.mean(), stats.sem(rows))
        hits_by_rows += low <= truth <= high
    assert hits / trials > 0.88
    assert hits_by_rows / trials < 0.75


# ---------------------------------------------------------------- parts and the whole


@given(st.lists(st.integers(0, 3), min_size=2, max_size=12), st.integers(0, 5))
@settings(deadline=None, max_examples=30)
def test_parts_merged_are_the_whole_however_it_was_cut(parts: list[int], seed: int):
    maps = sentences(len(parts), seed)
    corpora = [CorpusStatistics() for _ in range(4)]
    for part, attention_map in zip(parts, maps, strict=True):
        corpora[part].add(attention_map)
    first, *others = corpora
    for other in others:
        first.merge(other)
    whole = gathered(maps)
    assert first.sentences == whole.sentences == len(maps)
    for level in ("by_head", "by_layer", "overall"):
        assert_alike(getattr(first, level)(), getattr(whole, level)())


def test_what_waits_to_be_gathered_is_part_of_every_answer(monkeypatch):
    maps = sentences(12)
    at_once = gathered(maps)
    monkeypatch.setattr("shisen.inspection.corpus_statistics._WAITING", 1)
    one_by_one = gathered(maps)
    assert_alike(at_once.by_head(), one_by_one.by_head())
    at_once.add(maps[0])
    one_by_one.add(maps[0])
    assert_alike(at_once.overall(), one_by_one.overall())


def test_merging_leaves_the_other_as_it_was():
    first, second = gathered(sentences(5)), gathered(sentences(6, seed=1))
    before = second.as_dict()
    first.merge(second)
    first.add(sentences(1, seed=2)[0])
    assert second.as_dict() == before
    assert first.sentences == 12


def test_groups_are_parts_of_the_whole():
    maps = sentences(30)
    corpus = CorpusStatistics()
    for attention_map in maps:
        corpus.add(attention_map, group=length_group(len(attention_map.key_tokens), edges=(3, 6)))
    assert corpus.groups == ["1-3", "4-6", "7+"]
    assert_alike(corpus.overall(), gathered(maps).overall())
    short = [one for one in maps if len(one.key_tokens) <= 3]
    assert_alike(corpus.by_group()["1-3"], gathered(short).overall())
    assert_alike(corpus.by_head("1-3"), gathered(short).by_head())
    assert [row["group"] for row in corpus.table("group")][:: len(STREAMED_MEASURES)] == corpus.groups


def test_statistics_go_to_json_and_on_from_there(tmp_path):
    maps = sentences(20)
    corpus = CorpusStatistics(StatisticsSettings(unit="bits", band=2))
    for number, attention_map in enumerate(maps[:12]):
        corpus.add(attention_map, group=[None, "a", "b"][number % 3])
    corpus.to_json(tmp_path / "corpus.json")
    content = json.loads((tmp_path / "corpus.json").read_text(encoding="utf-8"))
    again = CorpusStatistics.from_dict(content)
    assert again.as_dict() == corpus.as_dict()
    assert content["tables"]["corpus"] == corpus.table("corpus")
    for attention_map in maps[12:]:
        again.add(attention_map)
    assert_alike(again.overall(), gathered(maps, settings=StatisticsSettings(unit="bits", band=2)).overall())


def test_tables_are_written_as_csv_and_data_frames(tmp_path):
    corpus = gathered(sentences(4))
    corpus.to_csv(tmp_path / "heads.csv")
    lines = (tmp_path / "heads.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("layer,head,measure,count,mean,deviation,q05")
    assert len(lines) == 1 + 2 * 3 * len(STREAMED_MEASURES)
    assert list(corpus.to_pandas("layer")["layer"].unique()) == [0, 1]


# ---------------------------------------------------------------- the stream


def test_memory_does_not_grow_with_the_corpus(monkeypatch):
    monkeypatch.setattr("shisen.inspection.corpus_statistics._WAITING", 2**10)
    maps = sentences(20, layers=1, heads=16)
    of_a_sentence = np.mean([one.row_sums.size for one in maps]) * len(STREAMED_MEASURES) * 8  # bytes

    def held(times: int) -> int:
        corpus = CorpusStatistics()
        gc.collect()
        tracemalloc.start()
        for attention_map in maps * times:
            corpus.add(attention_map)
        corpus.overall()
        gc.collect()
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return size

    held(1)
    assert (held(8) - held(2)) / (6 * len(maps)) < 0.2 * of_a_sentence


@given(st.lists(st.floats(-1e3, 1e3), max_size=30), st.lists(st.floats(-1e3, 1e3), max_size=30))
@settings(deadline=None, max_examples=40)
def test_moments_added_are_those_of_both_sets(first: list[float], second: list[float]):
    def moments(values: list[float]) -> Moments:
        vectors = np.array([values, np.square(values)]).reshape(2, 1, len(values))
        return Moments.of(vectors, np.ones((1, len(values)), bool))

    both, joined = moments(first + second), moments(first) + moments(second)
    assert joined.count == both.count
    np.testing.assert_allclose(joined.mean, both.mean, rtol=1e-9, atol=1e-6)
    scale = 1e-9 * np.abs(both.comoments).max()
    np.testing.assert_allclose(joined.comoments, both.comoments, atol=scale, rtol=1e-9)


def test_moments_keep_their_digits_beside_a_large_mean():
    values = 1e9 + np.arange(1000) % 7
    halves = [Moments.of(half[None, None], np.ones((1, 500), bool)) for half in np.split(values, 2)]
    variance = (halves[0] + halves[1]).comoments[0, 0, 0] / 999
    assert variance == pytest.approx(np.var(np.arange(1000) % 7, ddof=1), rel=1e-9)


@given(st.lists(st.floats(0, 9e5), min_size=1, max_size=40))
@settings(deadline=None, max_examples=40)
def test_quantiles_of_the_histogram_are_within_one_percent(values: list[float]):
    counts = log_histogram(np.array([values]), np.ones((1, len(values)), bool))
    assert counts.sum() == len(values)
    exact = np.quantile(values, QUANTILES, method="inverted_cdf")
    np.testing.assert_allclose(histogram_quantiles(counts, QUANTILES)[0], exact, rtol=0.0101, atol=1e-3)


# ---------------------------------------------------------------- edges


def test_excluded_and_unnormalised_rows_are_counted_over_the_corpus():
    corpus = CorpusStatistics()
    corpus.add(AttentionMap.from_arrays([[0.5, 0.5], [0, 0]], ["a", "b"], ["x", "y"]))
    corpus.add(AttentionMap.from_arrays([[0.5, 0.2], [0, 1]], ["a", "<pad>"], ["x", "y"]))
    corpus.add(AttentionMap.from_arrays(np.zeros((0, 2)), [], ["x", "y"]))
    assert (corpus.sentences, corpus.excluded_rows, corpus.unnormalized_rows) == (3, 2, 1)
    assert corpus.largest_deviation == pytest.approx(0.3)
    assert corpus.overall()["max_weight"].count == 2


def test_a_head_without_rows_has_no_numbers_and_disturbs_no_other():
    weights = np.zeros((1, 2, 2, 3))
    weights[0, 1] = [[0.2, 0.3, 0.5], [1, 0, 0]]
    attention_map = AttentionMap.from_arrays(weights, ["a", "b"], ["x", "y", "z"])
    corpus = CorpusStatistics.from_dict(gathered([attention_map, attention_map]).as_dict())
    summary = corpus.by_head()["entropy"]
    assert summary.count.tolist() == [[0, 4]]
    assert np.isnan(summary.mean[0, 0])
    assert np.isnan(summary.quantiles[0, 0]).all()
    assert corpus.overall()["entropy"].mean == pytest.approx(summary.mean[0, 1])


def test_one_sentence_has_a_mean_and_no_interval():
    summary = gathered(sentences(1)).overall()["entropy"]
    assert np.isfinite(summary.mean)
    assert np.isnan([summary.low, summary.high]).all()


def test_whole_numbers_stay_whole_in_quantiles():
    weights = np.repeat([[1 / 3, 1 / 3, 1 / 3]], 5, axis=0)
    corpus = gathered([AttentionMap.from_arrays(weights, list("abcde"), list("xyz"))])
    assert corpus.overall()["effective_positions"].quantiles.tolist() == [3.0] * 5


def test_lengths_fall_into_ranges():
    assert [length_group(length) for length in (1, 10, 11, 80, 81)] == [
        "1-10",
        "1-10",
        "11-20",
        "41-80",
        "81+",
    ]


def test_what_does_not_fit_is_refused_in_one_line():
    corpus = gathered(sentences(2))
    with pytest.raises(UserError, match=r"first was cross \[2, 3\] .*, this one is cross \[1, 3\]"):
        corpus.add(sentences(1, layers=1)[0])
    with pytest.raises(UserError, match=r"were made with .*threshold=0\.2.*, the others with"):
        corpus.add(attention_statistics(sentences(1)[0], threshold=0.2))
    with pytest.raises(UserError, match="joined only if made alike"):
        corpus.merge(CorpusStatistics(measures=["entropy"]))
    with pytest.raises(UserError, match="no group 'long'; there are: none"):
        corpus.overall("long")
    with pytest.raises(UserError, match="no map was added"):
        CorpusStatistics().overall()
    with pytest.raises(UserError, match="head, layer, corpus or group, not by 'row'"):
        corpus.table("row")
    with pytest.raises(UserError, match="nothing to measure"):
        CorpusStatistics(measures=[])
    with pytest.raises(UserError, match="of format 1: format is None"):
        CorpusStatistics.from_dict({})
    damaged = corpus.as_dict()
    del damaged["groups"][0]["gathered"]["rows"]
    with pytest.raises(UserError, match=r"are damaged: KeyError\('rows'\)"):
        CorpusStatistics.from_dict(damaged)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.update(heads=4), r"count of rows should be of shape \[9, 2, 4\], not"),
        (lambda content: content.update(layers=1), r"count of rows should be of shape \[9, 1, 3\], not"),
        (lambda content: content["measures"].pop(), r"count of rows should be of shape \[8, 2, 3\], not"),
        (lambda content: gathered_part(content).update(least=[[0.0]]), r"least should be of shape"),
        (lambda content: gathered_part(content)["bins"].append(-1), r"bins are numbered from 0 to"),
        (lambda content: gathered_part(content)["bins"].append(10**9), r"bins are numbered from 0 to"),
        (lambda content: gathered_part(content)["bin_counts"].pop(), r"bin_counts should be of shape"),
        (lambda content: gathered_part(content)["rows"]["mean"].pop(), r"mean of rows should be of shape"),
        (lambda content: content.update(layers="2"), r"are damaged"),
        (lambda content: content.update(groups=[7]), r"are damaged"),
    ],
)
def test_arrays_of_another_size_than_stated_are_refused_in_one_line(change, message):
    content = json.loads(json.dumps(gathered(sentences(2)).as_dict()))
    change(content)
    with pytest.raises(UserError, match=message) as caught:
        CorpusStatistics.from_dict(content)
    assert "\n" not in str(caught.value)


def gathered_part(content):
    return content["groups"][0]["gathered"]
