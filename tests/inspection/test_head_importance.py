"""How much a model needs its heads: against finite differences, and against cutting them by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from shisen import Translator
from shisen.errors import UserError
from shisen.inspection.head_importance import (
    Head,
    HeadImportance,
    ablation_importance,
    gradient_importance,
    pruning_curve,
)
from shisen.inspection.interventions import cut_heads, scale_heads
from shisen.plotting import plot_pruning
from small_model import SOURCES, TARGETS, save_small_model, save_small_transformer

PAIRS = list(zip(SOURCES, TARGETS, strict=True))


@pytest.fixture(scope="module")
def transformer(tmp_path_factory: pytest.TempPathFactory) -> Translator:
    return Translator.load(save_small_transformer(tmp_path_factory.mktemp("transformer")))


@pytest.fixture(scope="module")
def recurrent(tmp_path_factory: pytest.TempPathFactory) -> Translator:
    return Translator.load(save_small_model(tmp_path_factory.mktemp("recurrent"), attention="luong-general"))


def losses(translator: Translator, **options: Any) -> np.ndarray:
    """The loss of every pair by forced decoding, step by step."""
    forced = translator.force(SOURCES, TARGETS, **options)
    return np.array([-sum(one.log_probabilities) for one in forced])


def test_the_gradient_is_the_mean_of_what_a_small_scaling_changes(transformer: Translator) -> None:
    measured = gradient_importance(transformer, PAIRS)
    assert {kind: scores.shape for kind, scores in measured.scores.items()} == {
        "encoder": (2, 4),
        "decoder": (2, 4),
        "cross": (2, 4),
    }
    for kind, layer, head in (("cross", 1, 2), ("encoder", 0, 0), ("decoder", 1, 3)):
        step = 1e-2
        up, down = (
            losses(transformer, intervention=scale_heads(1 + sign * step, head, layer, kind))
            for sign in (1, -1)
        )
        expected = np.abs((up - down) / (2 * step)).mean()
        assert measured.scores[kind][layer, head] == pytest.approx(expected, rel=0.05, abs=2e-3)


def test_ablation_is_the_loss_without_the_head_less_that_with_it(
    transformer: Translator, recurrent: Translator
) -> None:
    for translator, kind, layer, head in ((transformer, "cross", 0, 1), (recurrent, "cross", 0, 0)):
        measured = ablation_importance(translator, PAIRS)
        cut = losses(translator, intervention=cut_heads(head, layer, kind)).sum()
        tokens = sum(len(one.tokens) for one in translator.force(SOURCES, TARGETS))
        assert measured.tokens == tokens
        expected = (cut - losses(translator).sum()) / tokens
        assert measured.scores[kind][layer, head] == pytest.approx(expected, abs=1e-5)


def test_a_head_whose_output_is_not_read_has_no_importance(tmp_path: Path) -> None:
    translator = Translator.load(save_small_transformer(tmp_path / "model"))
    with torch.no_grad():
        translator.model.decoder[1].cross_attention.out.weight[:, 8:12] = 0
    for measure in (gradient_importance, ablation_importance):
        scores = measure(translator, PAIRS).scores["cross"]
        assert scores[1, 2] == 0
        assert (scores[np.arange(2) != 1] != 0).all()


def test_the_order_of_the_pairs_and_their_batches_change_nothing(transformer: Translator) -> None:
    many = PAIRS * 40
    once, often = gradient_importance(transformer, PAIRS), gradient_importance(transformer, many[::-1])
    for kind, scores in once.scores.items():
        assert often.scores[kind] == pytest.approx(scores, rel=1e-4, abs=1e-5)


def test_normalized_layers_have_length_one_and_the_ranking_falls() -> None:
    given = HeadImportance("gradient", {"cross": np.array([[3.0, 4.0], [0.1, 0.0]])}, 1, 1)
    assert given.ranking()[0] == Head("cross", 0, 1)
    normal = given.normalized()
    assert normal.scores["cross"] == pytest.approx(np.array([[0.6, 0.8], [1.0, 0.0]]))
    assert normal.ranking()[0] == Head("cross", 1, 0)
    assert [row["importance"] for row in given.rows()] == [4.0, 3.0, 0.1, 0.0]


def test_a_curve_goes_from_all_heads_to_none(transformer: Translator) -> None:
    measured = gradient_importance(transformer, PAIRS)
    lengths: list[int] = []

    def score(texts: list[str]) -> float:
        lengths.append(len(texts))
        return float(sum(map(len, texts)))

    points = pruning_curve(transformer, PAIRS, [measured], score=score, points=4, random_orders=2)
    assert [point.kept for point in points if point.order == "gradient"] == [24, 16, 8, 0]
    assert {point.order for point in points} == {"gradient", "random 1", "random 2"}
    whole = losses(transformer).sum() / measured.tokens
    assert points[0].loss == pytest.approx(whole, abs=1e-5)
    none = cut_heads() & cut_heads(kind="encoder") & cut_heads(kind="decoder")
    last = losses(transformer, intervention=none).sum() / measured.tokens
    ends = [point.loss for point in points if point.kept == 0]
    assert ends == pytest.approx([last] * 3, abs=1e-5)
    assert set(lengths) == {len(PAIRS)}
    assert len(lengths) == 2 + 2 * 3  # the whole model and none of it are the same for every order
    kept = measured.ranking()[:16]
    cut = cut_heads(kind="cross", heads=[], layers=[])
    for kind, layer, head in set(measured.ranking()) - set(kept):
        cut = cut & cut_heads(head, layer, kind)
    by_hand = losses(transformer, intervention=cut).sum() / measured.tokens
    assert points[1].loss == pytest.approx(by_hand, abs=1e-5)
    assert len(plot_pruning(points).axes) == 2
    again = pruning_curve(transformer, PAIRS, [measured], points=4, random_orders=2)
    assert [point.loss for point in again] == [point.loss for point in points]
    assert all(point.score is None for point in again)


def test_what_has_no_heads_or_no_pairs_says_so(tmp_path: Path, transformer: Translator) -> None:
    without = Translator.load(save_small_model(tmp_path / "none", attention="none"))
    with pytest.raises(UserError, match="no attention, so it has no heads"):
        gradient_importance(without, PAIRS)
    with pytest.raises(UserError, match="no sentence pairs"):
        ablation_importance(transformer, [])
    with pytest.raises(UserError, match="measures of importance"):
        pruning_curve(transformer, PAIRS, [])
