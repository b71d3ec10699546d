"""What a head does: the scores against their formula, every pattern told from every other, and the edges."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from shisen.errors import UserError
from shisen.inspection import AttentionMap
from shisen.inspection.example_patterns import example_map, kinds_of
from shisen.inspection.head_patterns import (
    PATTERNS,
    PatternRecognizer,
    recognize_pattern,
    recognize_patterns,
)
from shisen.inspection.separators import is_separator

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "head_patterns.py"


def benchmark():
    spec = importlib.util.spec_from_file_location("benchmark_of_head_patterns", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def name_of(attention) -> str:
    return recognize_pattern(attention).names[0][0]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pure_pattern_is_recognised_in_every_kind_of_map_that_has_it(pattern: str):
    for kind in kinds_of(pattern):
        for length in (9, 20, 41):
            assert name_of(example_map(pattern, length, kind=kind)) == pattern


def test_with_noise_at_least_95_of_100_are_right():
    answers = benchmark().count_answers(30, [10, 16, 24, 40], (0.1, 0.4), seed=7)
    assert benchmark().right_share(answers) >= 0.95
    assert min(counts[name] / 30 for name, counts in answers.items()) >= 0.85


def test_the_score_of_a_flat_template_is_the_root_of_mass_beyond_chance_times_cosine():
    random = np.random.default_rng(3)
    weights = random.dirichlet(np.ones(7), size=7)
    n = 7
    rows = range(1, n)  # the first row has no previous key
    mass = np.mean([(weights[q, q - 1] - 1 / n) / (1 - 1 / n) for q in rows])
    template = np.zeros((n, n))
    for q in rows:
        template[q] = [-1 / n] * n
        template[q, q - 1] += 1
    a, b = (weights - 1 / n).ravel(), template.ravel()
    cosine = sum(x * y for x, y in zip(a, b, strict=True)) / (np.linalg.norm(a) * np.linalg.norm(b))
    expected = 6 / 7 * np.sqrt(max(mass, 0) * max(cosine, 0))
    assert recognize_pattern(weights).score("previous")[0, 0] == pytest.approx(expected, abs=1e-6)


def test_the_score_of_content_is_focus_where_no_other_pattern_fits():
    weights = np.full((2, 3), 1 / 3)
    weights[0] = [0.8, 0.1, 0.1]
    scores = recognize_pattern(weights, kind="cross")
    others = max(scores.score(name)[0, 0] for name in PATTERNS if name not in ("content", "uniform"))
    focus = ((0.8 - 1 / 3) / (2 / 3) + 0) / 2
    offset = 0.7 / 2 - 1 / np.sqrt(2)  # (0.8 − 1/3) / (2/3), over two rows; less than chance
    assert offset < 0
    assert scores.score("content")[0, 0] == pytest.approx(focus * (1 - others), abs=1e-6)


def test_heads_and_layers_are_recognised_as_if_each_were_alone():
    maps = [example_map(name, 12, 0.2, kind="encoder") for name in ("self", "first", "block", "content")]
    weights = np.concatenate([one.weights for one in maps]).reshape(2, 2, 12, 12)
    together = recognize_pattern(AttentionMap(weights, maps[0].query_tokens, maps[0].key_tokens, "encoder"))
    assert together.names == [["self", "first"], ["block", "content"]]
    alone = np.stack([recognize_pattern(one).scores[0, 0] for one in maps]).reshape(2, 2, -1)
    np.testing.assert_allclose(together.scores, alone, atol=1e-12)


def test_scores_lie_between_0_and_1_whatever_the_weights():
    random = np.random.default_rng(0)
    for kind in ("encoder", "decoder", "cross"):
        for _ in range(20):
            length = int(random.integers(2, 9))
            weights = random.dirichlet(np.full(length, 0.3), size=(2, 2, length))
            scores = recognize_pattern(weights, kind=kind).scores
            assert scores.min() >= 0
            assert scores.max() <= 1


def test_a_corpus_has_the_mean_of_its_sentences():
    maps = [example_map("previous", length, 0.3, length) for length in (8, 12, 30)]
    whole = recognize_patterns(maps)
    alone = [recognize_pattern(one).scores for one in maps]
    np.testing.assert_allclose(
        whole.scores[..., :-1], np.mean(alone, axis=0)[..., :-1], atol=1e-12
    )  # content apart
    assert (whole.sentences, whole.names, whole.agreement.tolist()) == (3, [["previous"]], [[1.0]])


def test_a_fixed_offset_without_a_name_is_not_content():
    length = 20
    far_back = np.eye(length, k=-5) + (np.arange(length)[:, None] < 5) / length
    is_content = recognize_patterns([example_map("content", length, seed=seed) for seed in range(8)])
    is_offset = recognize_patterns(
        [AttentionMap.from_arrays(far_back, ["w"] * 20, ["w"] * 20, "encoder")] * 8
    )
    assert is_content.score("content")[0, 0] > 0.6
    assert is_offset.score("content")[0, 0] < 0.35


def test_a_longer_sentence_with_the_same_share_of_noise_has_nearly_the_same_score():
    scores = [
        np.mean([recognize_pattern(example_map("self", n, 0.3, seed)).score("self") for seed in range(20)])
        for n in (10, 60)
    ]
    assert scores[0] == pytest.approx(scores[1], abs=0.06)


def test_punctuation_and_ends_separate_in_english_and_japanese():
    assert all(map(is_separator, ["</s>", "[SEP]", ".", "▁,", "。", "、", "「", "Ġ."]))
    assert not any(map(is_separator, ["猫", "cat", "▁", "", "<unk>", "a."]))
    assert is_separator("|", ["|"])
    assert not is_separator(".", ["|"])
    tokens = ["猫", "が", "。", "座っ", "た"]
    weights = np.tile([0.05, 0.05, 0.8, 0.05, 0.05], (5, 1))
    assert name_of(AttentionMap.from_arrays(weights, tokens, tokens, "encoder")) == "separator"
    assert name_of(AttentionMap.from_arrays(weights, list("abcde"), list("abcde"), "encoder")) == "global"


@pytest.mark.parametrize("pattern", ["self", "previous", "next", "first"])
def test_a_head_has_the_name_of_what_six_of_ten_rows_do_while_the_others_look_anywhere(pattern: str):
    random = np.random.default_rng(5)

    def mixed(share: float) -> AttentionMap:
        whole = example_map(pattern, 20)
        elsewhere = np.eye(20)[random.integers(0, 20, 20)]
        is_pattern = random.permutation(20) < share * 20
        weights = np.where(is_pattern[:, None], whole.weights[0, 0], elsewhere)
        return AttentionMap.from_arrays(weights, whole.query_tokens, whole.key_tokens, "encoder")

    mostly = recognize_patterns([mixed(0.6) for _ in range(20)])
    hardly = recognize_patterns([mixed(0.2) for _ in range(20)])
    assert (mostly.names, hardly.names) == ([[pattern]], [["content"]])
    assert mostly.score(pattern)[0, 0] == pytest.approx(0.6, abs=0.08)


def test_a_sink_is_one_whichever_mark_a_row_rests_on():
    tokens = ["the", "cat", ",", "it", "sat", ".", "</s>"]
    marks = [2, 5, 6, 5, 6, 2, 5]
    attention = AttentionMap.from_arrays(np.eye(7)[marks], [*"abcdefg"], tokens, "cross")
    assert name_of(attention) == "separator"
    assert recognize_pattern(attention).score("separator")[0, 0] == pytest.approx(1)
    assert recognize_pattern(attention, separators=["none"]).score("separator")[0, 0] == 0


def test_rows_of_zeros_do_not_count():
    one = example_map("first", 12, 0.2)
    padded = np.concatenate([one.weights, np.zeros((1, 1, 5, 12))], axis=2)
    tokens = [*one.query_tokens, *["<pad>"] * 5]
    longer = AttentionMap.from_arrays(padded, tokens, one.key_tokens, "cross")
    plain = AttentionMap.from_arrays(one.weights, one.query_tokens, one.key_tokens, "cross")
    for name in ("first", "global", "uniform", "separator"):
        assert recognize_pattern(longer).score(name) == pytest.approx(
            recognize_pattern(plain).score(name), abs=1e-6
        )


def test_maps_with_nothing_to_choose_are_counted_and_left_out():
    recognizer = PatternRecognizer()
    for shape in ((3, 1), (0, 4), (4, 0)):
        recognizer.add(AttentionMap.from_arrays(np.ones(shape), ["w"] * shape[0], ["w"] * shape[1]))
    recognizer.add(AttentionMap.from_arrays(np.zeros((2, 4)), ["w"] * 2, ["w"] * 4))
    with pytest.raises(UserError, match="nothing to recognise"):
        recognizer.result()
    recognizer.add(example_map("uniform", 6, kind="cross"))
    assert (recognizer.result().sentences, recognizer.result().skipped) == (1, 4)


def test_what_cannot_be_recognised_is_refused():
    with pytest.raises(UserError, match="one key alone"):
        recognize_pattern(np.ones((3, 1)))
    recognizer = PatternRecognizer()
    recognizer.add(example_map("self", 6))
    with pytest.raises(UserError, match="of one kind"):
        recognizer.add(example_map("diagonal", 6))
    with pytest.raises(UserError, match="no pattern 'vertical'"):
        recognize_pattern(np.eye(4)).score("vertical")
    with pytest.raises(UserError, match="not found in cross"):
        example_map("self", kind="cross")
    with pytest.raises(UserError, match="no pattern"):
        example_map("spiral")
    with pytest.raises(UserError, match="length of 4"):
        example_map("self", 2)


def test_a_row_of_the_table_names_the_head_its_pattern_and_every_score():
    row = recognize_pattern(example_map("next", 8)).as_rows()[0]
    assert row["pattern"] == "next"
    assert (row["layer"], row["head"], row["kind"], row["agreement"]) == (0, 0, "encoder", 1.0)
    assert set(PATTERNS) <= row.keys()
    assert 0 <= row["confidence"] <= 1
