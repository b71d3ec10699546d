"""The report on attention: its numbers against independent ones, its sentences, its page, its safety."""

import html
import json
import re
import weakref

import numpy as np
import pytest
from report_maps import LOOKS_AT, SOURCE, TARGET, cross_map, weights_at

from shisen.errors import UserError
from shisen.inspection import AttentionMap
from shisen.inspection.pattern_names import PATTERN_NAMES
from shisen.inspection.report import ReportGatherer
from shisen.inspection.report.page import shown
from shisen.inspection.report.words import SHAPE_WORDS, WORDS


@pytest.fixture(scope="module")
def report():
    """Of six sentences, more and less focused."""
    gatherer = ReportGatherer(examples=2)
    for number, weight in enumerate((0.5, 0.9, 0.3, 0.7, 0.99, 0.6)):
        gatherer.add({"cross": cross_map(weight=weight, seed=number)})
    return gatherer.report({"model": "runs/small", "data": "test.tsv"})


def report_of(*maps):
    gatherer = ReportGatherer()
    for attention_map in maps:
        gatherer.add({attention_map.kind: attention_map})
    return gatherer.report()


# ---- the numbers, recomputed


def by_hand(row, query, queries):
    """The measures of one row of cross-attention, each straight from its formula."""
    keys = len(row)
    row = np.asarray(row, dtype=np.float64)
    entropy = sum(-p * np.log(p) for p in row if p > 0)
    center = query * (keys - 1) / (queries - 1)
    return {
        "entropy": entropy,
        "perplexity": np.exp(entropy),
        "max_weight": max(row),
        "effective_positions": sum(p > 0.1 for p in row),
        "distance": sum(p * abs(query - k) for k, p in enumerate(row)) / sum(row),
        "diagonal_mass": sum(p for k, p in enumerate(row) if abs(k - center) <= 1),
        "punctuation_mass": row[SOURCE.index(".")],
        "end_mass": row[SOURCE.index("</s>")],
        "first_mass": row[0],
    }


@pytest.fixture
def measured():
    """One sentence, and its measures by hand: ``[layers, heads, queries]`` of each."""
    attention_map = cross_map()
    rows = [
        [[by_hand(row, query, len(TARGET)) for query, row in enumerate(of_head)] for of_head in of_layer]
        for of_layer in attention_map.weights
    ]
    names = rows[0][0][0]
    return attention_map, {
        name: np.array([[[row[name] for row in head] for head in layer] for layer in rows]) for name in names
    }


def check(row, values):
    assert row["count"] == values.size
    assert row["mean"] == pytest.approx(values.mean(), abs=1e-6)
    assert row["deviation"] == pytest.approx(values.std(ddof=1), abs=1e-5)
    ordered = np.sort(values.reshape(-1))
    for share, name in ((0.05, "q05"), (0.25, "q25"), (0.5, "q50"), (0.75, "q75"), (0.95, "q95")):
        exact = ordered[max(int(np.ceil(share * values.size)), 1) - 1]
        assert row[name] == pytest.approx(exact, rel=0.011, abs=0.001)


def test_every_number_of_one_sentence_is_that_of_its_formula(measured):
    attention_map, values = measured
    numbers = report_of(attention_map).as_dict()["kinds"]["cross"]
    for row in numbers["overall"]:
        check(row, values[row["measure"]])
    for row in numbers["by_layer"]:
        check(row, values[row["measure"]][row["layer"]])
    for row in numbers["by_head"]:
        check(row, values[row["measure"]][row["layer"], row["head"]])
    thirds = {"first": [0, 1, 2], "middle": [3, 4], "last": [5, 6], "end": [7]}
    assert {row["group"] for row in numbers["by_part"]} == set(thirds)
    for row in numbers["by_part"]:
        check(row, values[row["measure"]][:, :, thirds[row["group"]]])
    assert {row["group"] for row in numbers["by_length"]} == {"1-10"}
    for row in numbers["by_length"]:
        check(row, values[row["measure"]])


def test_the_interval_of_a_mean_takes_sentences_as_independent():
    maps = [cross_map(1, 1, weight, seed) for seed, weight in enumerate((0.4, 0.6, 0.9))]
    row = next(
        r for r in report_of(*maps).as_dict()["kinds"]["cross"]["overall"] if r["measure"] == "max_weight"
    )
    means = [float(one.weights.max(axis=-1).mean()) for one in maps]  # equally many rows in each
    reach = 4.302653 * np.std(means, ddof=1) / np.sqrt(3)  # Student's t with 2 degrees of freedom, 97.5 %
    assert (row["low"], row["high"]) == pytest.approx(
        (np.mean(means) - reach, np.mean(means) + reach), abs=1e-5
    )


def test_rows_without_weights_and_rows_that_do_not_sum_to_one_are_counted():
    weights = weights_at(LOOKS_AT, len(SOURCE))
    weights[2] = 0
    weights[3] *= 1.5
    numbers = report_of(AttentionMap.from_arrays(weights, TARGET, SOURCE)).as_dict()["kinds"]["cross"]
    assert (numbers["excluded_rows"], numbers["unnormalized_rows"]) == (1, 1)
    assert numbers["largest_deviation"] == pytest.approx(0.5, abs=1e-6)


# ---- the sentences that are shown


def test_the_extremes_are_the_least_and_the_greatest_relative_entropy(report):
    examples = report.as_dict()["examples"]
    assert [one["sentence"] for one in examples["most_focused"]] == [5, 2]
    assert [one["sentence"] for one in examples["most_diffuse"]] == [3, 1]
    weights = cross_map(weight=0.99, seed=4).weights.astype(np.float64)
    relative = -(weights * np.log(weights)).sum(axis=-1) / np.log(len(SOURCE))
    assert examples["most_focused"][0]["spread"] == pytest.approx(relative.mean(), abs=1e-6)


def test_sentences_too_short_or_too_long_to_show_are_measured_and_not_shown():
    tokens = [f"w{number}" for number in range(40)]
    long = AttentionMap.from_arrays(np.full((40, 40), 1 / 40), tokens, tokens)
    short = AttentionMap.from_arrays(np.full((2, 2), 0.5), ["a", "b"], ["a", "b"])
    report = report_of(long, short)
    assert report.as_dict()["sentences"] == 2
    assert report.as_dict()["examples"]["most_focused"] == []
    assert WORDS["en"]["none_short_enough"] in report.to_html()


SHAPED = {
    "diagonal": weights_at(range(6), 6),
    "crossing": weights_at([5, 4, 3, 2, 1, 0], 6),
    "spread": np.full((6, 6), 1 / 6),
    "first": weights_at([0] * 6, 6),
}


@pytest.mark.parametrize("shape", SHAPED)
def test_the_reading_guide_finds_a_shape_that_is_there(shape):
    tokens = list("abcdef")
    found = report_of(AttentionMap.from_arrays(SHAPED[shape], tokens, tokens)).as_dict()["reading_guide"]
    assert found[shape]["found"]["sentence"] == 1
    for other in {"end", "punctuation", *SHAPED} - {shape}:
        if (shape, other) != ("crossing", "first"):  # its last row looks at the first key
            assert found[other]["found"] is None, other


@pytest.mark.parametrize(("shape", "token"), [("end", "</s>"), ("punctuation", "、")])
def test_the_reading_guide_finds_weight_on_what_is_no_word(shape, token):
    keys = [*"abcde", token]
    weights = weights_at([0, 1, 2, 5, 4, 5], 6)
    guide = report_of(AttentionMap.from_arrays(weights, [*"abcde", "</s>"], keys)).as_dict()["reading_guide"]
    assert guide[shape]["found"]["row"] == 3
    assert guide[shape]["found"]["score"] == pytest.approx(0.9)


def test_a_shape_is_shown_by_the_head_and_the_sentence_that_have_it_most():
    tokens = list("abcdef")
    mixed = np.full((1, 2, 6, 6), 1 / 6)
    mixed[0, 1] = weights_at(range(6), 6, 0.8)
    plain = AttentionMap.from_arrays(np.full((1, 2, 6, 6), 1 / 6), tokens, tokens)
    found = report_of(plain, AttentionMap.from_arrays(mixed, tokens, tokens)).as_dict()["reading_guide"]
    assert (found["diagonal"]["found"]["sentence"], found["diagonal"]["found"]["head"]) == (2, 1)


def test_what_the_data_do_not_show_is_said():
    page = report_of(cross_map(1, 1)).to_html()
    assert "Nothing like this was found in your data" in page


# ---- the page


def rows_of(page, table):
    """The texts of the cells of a table, row by row."""
    body = re.search(rf'<table id="{table}">.*?<tbody>(.*?)</tbody>', page, re.S)[1]
    return [
        [
            re.sub(r"<small>.*?</small>", "", cell)
            for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.S)
        ]
        for row in re.findall(r"<tr>(.*?)</tr>", body, re.S)
    ]


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_numbers_of_the_page_are_those_of_the_json(report, language, tmp_path):
    report.write(tmp_path / "out", language)
    numbers = json.loads((tmp_path / "out/report.json").read_text("utf-8"))["kinds"]["cross"]
    page = (tmp_path / "out/report.html").read_text("utf-8")
    for row, entry in zip(rows_of(page, "cross-overall"), numbers["overall"], strict=True):
        interval = f"{shown(entry['low'])} – {shown(entry['high'])}"
        quantiles = [shown(entry[name]) for name in ("q05", "q25", "q50", "q75", "q95")]
        expected = [shown(entry["count"]), shown(entry["mean"]), interval, shown(entry["deviation"])]
        assert row[1:] == [*expected, *quantiles]
    for table, places in (("by_layer", 1), ("by_head", 2), ("by_length", 1), ("by_part", 1)):
        cells = [cell for row in rows_of(page, f"cross-{table}") for cell in row[places + 1 :]]
        key = {"by_part": ["first", "middle", "last", "end"]}.get(table)
        entries = numbers[table]
        if key:
            entries = sorted(entries, key=lambda entry: key.index(entry["group"]))
        assert cells == [shown(entry["mean"]) for entry in entries]


def test_the_page_needs_no_network_and_runs_nothing(report):
    page = report.to_html()
    assert not re.search(r"""(?:src|href|url)\s*[=(]\s*["']?(?:https?:|//)""", page)
    assert "<script" not in page
    assert "default-src 'none'" in page


HOSTILE = [
    "</script><script>alert(1)</script>",
    "\" onload='x'",
    "<img src=x onerror=y>",
    "a\x1bb\u202ec",
    "&amp;",
]


def test_what_tokens_and_facts_hold_never_becomes_markup():
    keys = [*HOSTILE, "</s>"]
    weights = weights_at([5, 5, 5, 5, 5, 5], 6)
    gatherer = ReportGatherer()
    gatherer.add({"cross": AttentionMap.from_arrays(weights, keys, keys)})
    page = gatherer.report({name: name for name in HOSTILE}).to_html()
    assert "<script" not in page
    assert "<img src=x" not in page
    assert not set("\x1b\u202e") & set(page)
    assert html.escape(HOSTILE[0]).replace("&#x27;", "&#39;") in page
    assert [tag for tag in re.findall(r"<(\w+)", page) if tag in ("script", "iframe", "object")] == []


def test_the_japanese_page_has_a_word_for_everything(report):
    assert set(WORDS["ja"]) == set(WORDS["en"])
    assert set(SHAPE_WORDS["ja"]) == set(SHAPE_WORDS["en"])
    assert set(PATTERN_NAMES["ja"]) == set(PATTERN_NAMES["en"])
    page = report.to_html("ja")
    assert '<html lang="ja">' in page
    assert not [text for text in WORDS["en"].values() if len(text) > 15 and "{" not in text and text in page]


def test_there_is_no_page_in_another_language(report, tmp_path):
    with pytest.raises(UserError, match="one of en, ja, not 'fr'"):
        report.write(tmp_path / "out", "fr")
    assert not (tmp_path / "out").exists()


# ---- edges


def test_all_kinds_are_in_it_and_sentences_are_of_cross_attention():
    gatherer = ReportGatherer()
    square = np.full((1, 1, len(SOURCE), len(SOURCE)), 1 / len(SOURCE))
    gatherer.add(
        {"encoder": AttentionMap.from_arrays(square, SOURCE, SOURCE, "encoder"), "cross": cross_map()}
    )
    numbers = gatherer.report().as_dict()
    assert list(numbers["kinds"]) == ["cross", "encoder"]
    assert numbers["examples"]["kind"] == "cross"


def test_an_empty_sentence_counts_and_gives_no_numbers():
    gatherer = ReportGatherer()
    gatherer.add({})
    gatherer.add({"cross": AttentionMap.from_arrays(np.zeros((0, 0)), [], [])})
    gatherer.add({"cross": cross_map(1, 1)})
    assert gatherer.report().as_dict()["sentences"] == 3


def test_one_token_can_be_reported_on():
    page = report_of(AttentionMap.from_arrays([[1.0]], ["a"], ["b"])).to_html()
    assert WORDS["en"]["no_patterns"] in page


def test_no_attention_at_all_is_refused():
    with pytest.raises(UserError, match="no attention to report on"):
        ReportGatherer().report()
    with pytest.raises(UserError, match="no attention to report on"):
        report_of(AttentionMap.from_arrays(np.zeros((2, 2)), ["a", "b"], ["a", "b"]))


def test_of_a_long_corpus_only_the_maps_that_are_shown_are_kept():
    gatherer, maps = ReportGatherer(), weakref.WeakSet()
    for seed in range(60):
        attention_map = cross_map(seed=seed)
        maps.add(attention_map)
        gatherer.add({"cross": attention_map})
    del attention_map
    assert 6 <= len(maps) <= 7  # three at each extreme, and the last one seen
    assert gatherer.report().as_dict()["sentences"] == 60
