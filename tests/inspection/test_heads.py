"""The report on heads: its table against its parts, its pictures, its page."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from shisen.errors import UserError
from shisen.inspection import AttentionMap, HeadsGatherer
from shisen.inspection.head_patterns import PATTERNS, recognize_patterns
from shisen.inspection.head_similarity import head_similarity
from shisen.plotting import plot_gallery, plot_similarity

TOKENS = ("猫", "が", "マット", "に", "座っ", "た", "</s>")


def planted(seed: int, tokens: tuple[str, ...] = TOKENS) -> AttentionMap:
    """Heads that look at the token before, at themselves, at the first, and anywhere."""
    generator = np.random.default_rng(seed)
    count = len(tokens)
    shapes = [np.eye(count, k=-1), np.eye(count), np.eye(count)[[0] * count]]
    weights = np.stack([*shapes, generator.dirichlet(np.full(count, 0.05), count)])
    weights[0, 0, 0] = 1
    return AttentionMap.from_arrays(0.9 * weights + 0.1 / count, tokens, tokens, kind="encoder")


@pytest.fixture(scope="module")
def maps() -> list[AttentionMap]:
    return [planted(seed) for seed in range(12)]


def test_every_head_has_its_pattern_its_neighbour_and_its_entropy(maps: list[AttentionMap]) -> None:
    gatherer = HeadsGatherer()
    for one in maps:
        gatherer.add({"encoder": one})
    rows = gatherer.report().rows()
    assert [row["pattern"] for row in rows] == ["previous", "self", "first", "content"]
    patterns, similarity = recognize_patterns(maps), head_similarity(maps)
    distance = similarity.distance + np.where(np.eye(4), np.inf, 0)
    for head, row in enumerate(rows):
        scores = patterns.scores[0, head]
        assert row["confidence"] == pytest.approx(np.sort(scores)[-1] - np.sort(scores)[-2])
        assert row["runner_up"] == PATTERNS[np.argsort(-scores)[1]]
        assert row["nearest"] == f"0.{distance[head].argmin()}"
        assert row["nearest_distance"] == pytest.approx(distance[head].min())
        weights = np.stack([one.weights[0, head] for one in maps])
        entropy = -(weights * np.log(np.maximum(weights, 1e-30))).sum(-1).mean()
        assert row["entropy"] == pytest.approx(entropy, abs=1e-5)


def test_the_example_is_the_sentence_with_the_largest_score(maps: list[AttentionMap]) -> None:
    blurred = [
        AttentionMap.from_arrays(0.5 * one.weights + 0.5 / 7, TOKENS, TOKENS, kind="encoder") for one in maps
    ]
    gatherer = HeadsGatherer()
    for one in [*blurred, maps[0], *blurred]:
        gatherer.add({"encoder": one})
    report = gatherer.report()
    for head in range(3):
        example = report.kinds["encoder"].examples[0, head]
        assert example.number == len(blurred) + 1
        assert np.array_equal(example.attention_map.weights[0, 0], maps[0].weights[0, head])


def test_the_folder_holds_the_page_the_table_and_the_pictures(
    maps: list[AttentionMap], tmp_path: Path
) -> None:
    gatherer = HeadsGatherer()
    for one in maps:
        gatherer.add_map(one)
    for language, title in (("en", "Encoder self-attention"), ("ja", "エンコーダーの自己注意")):
        report = gatherer.report({"command": "shisen heads <b>"})
        written = report.write(tmp_path / language, language)
        assert sorted(path.name for path in (tmp_path / language).iterdir()) == sorted(
            path.name for path in written
        )
        page = (tmp_path / language / "heads.html").read_text(encoding="utf-8")
        assert title in page
        assert "shisen heads &lt;b&gt;" in page
        assert page.count("data:image/svg+xml") == 2 + 4  # gallery, distances, an example of each head
        assert not re.search(r"<script|https?://", re.sub(r"data:image[^\"]*", "", page))
    content = json.loads((tmp_path / "en" / "heads.json").read_text(encoding="utf-8"))
    table = list(csv.DictReader((tmp_path / "en" / "heads.csv").open(encoding="utf-8")))
    assert [row["pattern"] for row in table] == [row["pattern"] for row in content["heads"]]
    assert content["sentences"] == len(maps)
    with pytest.raises(UserError, match="one of en, ja"):
        gatherer.report().write(tmp_path / "other", "fr")
    assert not (tmp_path / "other").exists()


def test_one_head_and_long_sentences_have_no_distances_and_no_gallery(tmp_path: Path) -> None:
    tokens = tuple(f"t{number}" for number in range(40))
    gatherer = HeadsGatherer()
    for seed in range(3):
        gatherer.add({"encoder": planted(seed, tokens).head(0)})
    names = {path.name for path in gatherer.report().write(tmp_path / "heads")}
    assert names == {"heads.html", "heads.csv", "heads.json"}
    with pytest.raises(UserError, match="no heads to look at"):
        HeadsGatherer().report()


def test_pictures_have_a_panel_for_every_head_and_refuse_what_does_not_fit(maps: list[AttentionMap]) -> None:
    patterns = recognize_patterns(maps)
    figure = plot_gallery(maps[0], patterns, language="ja")
    assert len(figure.axes) == 4
    assert "直前のトークン" in figure.axes[0].get_title(loc="left")
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == list(TOKENS)
    with pytest.raises(UserError, match="the map has 1 x 1 heads, the patterns are of 1 x 4"):
        plot_gallery(maps[0].head(0), patterns)
    with pytest.raises(UserError, match="one head"):
        plot_similarity(head_similarity([one.head(0) for one in maps]))
    labels = [text.get_text() for text in plot_similarity(head_similarity(maps)).axes[1].get_yticklabels()]
    assert sorted(labels) == ["0.0", "0.1", "0.2", "0.3"]
