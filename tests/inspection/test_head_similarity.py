"""Distances between heads: the divergence against its definition, the tree, near-duplicates, the edges."""

import math

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from shisen.errors import UserError
from shisen.inspection import AttentionMap
from shisen.inspection.head_similarity import HeadDistances, head_similarity


def drawn_map(seed=0, layers=2, heads=3, queries=4, keys=5, kind="cross") -> AttentionMap:
    random = np.random.default_rng(seed)
    weights = random.dirichlet(np.full(keys, 0.5), size=(layers, heads, queries))
    return AttentionMap.from_arrays(
        weights, [f"v{q}" for q in range(queries)], [f"w{k}" for k in range(keys)], kind
    )


def divergence_in_bits(p, q) -> float:
    """By the definition with Kullback–Leibler divergences, term by term."""
    total = 0.0
    for a, b in zip(p, q, strict=True):
        m = (a + b) / 2
        total += sum(0.5 * x * math.log2(x / m) for x in (a, b) if x > 0)
    return total


def test_the_divergence_is_the_mean_over_the_rows_of_all_sentences():
    maps = [drawn_map(seed, queries=3 + seed) for seed in range(3)]
    found = head_similarity(maps)
    for first, second in ((0, 1), (2, 5), (4, 3)):
        rows = [
            divergence_in_bits(*(one.weights[divmod(head, 3)][query] for head in (first, second)))
            for one in maps
            for query in range(len(one.query_tokens))
        ]
        assert found.divergence[first, second] == pytest.approx(np.mean(rows), abs=1e-6)
    assert found.rows[0, 1] == 3 + 4 + 5
    assert found.sentences == 3


def test_of_one_row_it_is_what_scipy_calls_the_distance():
    one = drawn_map(queries=1, layers=1, heads=2)
    p, q = one.weights[0, :, 0].astype(np.float64)
    assert head_similarity([one]).distance[0, 1] == pytest.approx(jensenshannon(p, q, base=2), abs=1e-6)


def test_equal_heads_are_at_0_and_heads_without_a_common_key_at_1():
    weights = np.zeros((3, 4, 6))
    weights[0, :, 0] = weights[1, :, 0] = weights[2, :, 5] = 1
    found = head_similarity([AttentionMap.from_arrays(weights, list("abcd"), list("uvwxyz"))])
    np.testing.assert_allclose(found.distance, [[0, 0, 1], [0, 0, 1], [1, 1, 0]], atol=1e-7)


def test_it_is_a_metric():
    distance = head_similarity([drawn_map(seed, heads=4) for seed in range(2)]).distance
    np.testing.assert_array_equal(distance, distance.T)
    through_another = distance[:, :, None] + distance[None]  # i → j → k
    assert (distance[:, None] <= through_another + 1e-9).all()
    assert distance.max() <= 1


def test_two_parts_merge_into_the_whole():
    maps = [drawn_map(seed, queries=2 + seed) for seed in range(5)]
    parts = [HeadDistances(), HeadDistances(), HeadDistances()]
    for number, one in enumerate(maps):
        parts[number % 2].add(one)
    parts[2].merge(parts[0])
    parts[2].merge(parts[1])
    parts[2].merge(HeadDistances())
    whole, merged = head_similarity(maps), parts[2].result()
    np.testing.assert_allclose(merged.divergence, whole.divergence, atol=1e-12)
    assert merged.sentences == 5
    np.testing.assert_array_equal(merged.rows, whole.rows)


def test_rows_without_a_choice_and_rows_of_zeros_do_not_count():
    weights = np.tril(np.random.default_rng(1).random((2, 4, 4)) + 0.1)
    weights /= weights.sum(axis=-1, keepdims=True)
    weights[1, 2] = 0
    found = head_similarity([AttentionMap.from_arrays(weights, list("abcd"), list("wxyz"), "decoder")])
    rows = [divergence_in_bits(weights[0, query], weights[1, query]) for query in (1, 3)]
    assert found.divergence[0, 1] == pytest.approx(np.mean(rows), abs=1e-6)
    assert found.rows.tolist() == [[3, 2], [2, 2]]


def test_padding_does_not_count():
    one = drawn_map(queries=3, keys=4)
    padded = np.zeros((2, 3, 5, 6))
    padded[..., :3, :4] = one.weights
    padded[..., 3:, :] = 1 / 6  # what a model happens to write there
    padded = AttentionMap.from_arrays(
        padded, [*one.query_tokens, "<pad>", "<pad>"], [*one.key_tokens, "<pad>", "<pad>"]
    )
    np.testing.assert_allclose(head_similarity([padded]).divergence, head_similarity([one]).divergence)


def clustered() -> AttentionMap:
    """Six heads: 0, 3 and 4 alike, 1 and 5 alike, 2 by itself."""
    random = np.random.default_rng(2)
    kinds = random.dirichlet(np.full(8, 0.05), size=(3, 6))  # [kinds, queries, keys]
    noise = random.dirichlet(np.ones(8), size=(6, 6))
    weights = 0.99 * kinds[[0, 1, 2, 0, 0, 1]] + 0.01 * noise
    return AttentionMap.from_arrays(weights.reshape(2, 3, 6, 8), list("abcdef"), list("stuvwxyz"))


def test_near_duplicates_are_found_and_counted():
    found = head_similarity([clustered()])
    assert found.clusters(within=0.2) == [[0, 3, 4], [1, 5], [2]]
    assert found.redundant(within=0.2) == 3
    assert found.clusters(within=0.0) == [[head] for head in range(6)]
    assert found.clusters(within=1.0) == [[0, 1, 2, 3, 4, 5]]


def test_any_two_heads_of_a_cluster_are_within_the_distance():
    found = head_similarity([drawn_map(seed, layers=3, heads=4) for seed in range(3)])
    within = float(np.median(found.distance))
    clusters = found.clusters(within)
    assert sorted(head for group in clusters for head in group) == list(range(12))
    assert all(found.distance[np.ix_(group, group)].max() <= within for group in clusters)
    assert any(len(group) > 1 for group in clusters)


def test_the_tree_has_like_heads_side_by_side():
    found = head_similarity([clustered()])
    order = found.order()
    assert sorted(order) == list(range(6))
    places = [order.index(head) for head in (0, 3, 4)]
    assert max(places) - min(places) == 2
    assert abs(order.index(1) - order.index(5)) == 1
    assert found.linkage().shape == (5, 4)
    assert (np.diff(found.linkage()[:, 2]) >= 0).all()


def test_the_nearest_head_is_another_one():
    nearest = head_similarity([clustered()]).nearest()
    assert nearest[0][0] in (3, 4)
    assert nearest[1][0] == 5
    assert nearest[5] == (1, pytest.approx(nearest[1][1]))


def test_distances_between_layers_leave_the_head_itself_out():
    found = head_similarity([clustered()])
    d = found.distance
    by_layers = found.by_layers()
    assert by_layers[0, 0] == pytest.approx((d[0, 1] + d[0, 2] + d[1, 2]) / 3)
    assert by_layers[0, 1] == by_layers[1, 0] == pytest.approx(d[:3, 3:].mean())


def test_one_head_has_no_neighbour_and_a_tree_of_one_leaf():
    found = head_similarity([drawn_map(layers=1, heads=1)])
    assert found.nearest() == [None]
    assert (found.order(), found.clusters(), found.redundant()) == ([0], [[0]], 0)
    assert found.linkage().shape == (0, 4)
    assert math.isnan(found.by_layers()[0, 0])


def test_heads_that_share_no_row_have_no_distance():
    weights = np.zeros((2, 2, 3))
    weights[0, 0, 0] = weights[1, 1, 0] = 1
    found = head_similarity([AttentionMap.from_arrays(weights, list("ab"), list("xyz"))])
    assert math.isnan(found.distance[0, 1])
    assert found.nearest() == [None, None]
    assert found.clusters(within=0.5) == [[0], [1]]


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(UserError, match="nothing to compare heads on"):
        head_similarity([])
    with pytest.raises(UserError, match="nothing to compare heads on"):
        head_similarity([AttentionMap.from_arrays(np.zeros((2, 0, 0)), [], [])])
    with pytest.raises(UserError, match="nothing to compare heads on"):
        head_similarity([drawn_map(keys=1)])
    with pytest.raises(UserError, match="of one kind and size"):
        head_similarity([drawn_map(), drawn_map(heads=2)])
    with pytest.raises(UserError, match="not by 'ward'"):
        head_similarity([drawn_map()]).linkage("ward")
    with pytest.raises(UserError, match="0 or more"):
        head_similarity([drawn_map()]).clusters(within=-1.0)


def test_as_json_it_has_what_a_dendrogram_needs():
    found = head_similarity([clustered()])
    entries = found.as_dict()
    assert entries["names"] == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    assert entries["order"] == found.order()
    assert np.array(entries["distance"]).shape == (6, 6)
    assert len(entries["linkage"]) == 5
