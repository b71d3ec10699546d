"""The attention map: what it accepts, how it is cut and merged, and that it is a value."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

from shisen import AttentionMap, UserError


def random_map(layers=2, heads=3, queries=4, keys=5, **options):
    weights = np.random.default_rng(7).dirichlet(np.ones(keys), (layers, heads, queries))
    return AttentionMap.from_arrays(
        weights, [f"q{i}" for i in range(queries)], [f"k{i}" for i in range(keys)], **options
    )


def test_from_arrays_adds_the_axes_that_are_missing():
    matrix = [[0.25, 0.75], [1.0, 0.0]]
    for weights, shape in [
        (matrix, (1, 1, 2, 2)),
        ([matrix] * 3, (1, 3, 2, 2)),
        ([[matrix] * 3] * 4, (4, 3, 2, 2)),
    ]:
        attention_map = AttentionMap.from_arrays(weights, ["a", "b"], ["x", "y"])
        assert attention_map.weights.shape == shape
        assert attention_map.weights.dtype == np.float32
        assert attention_map.weights[-1, -1].tolist() == matrix
    assert (attention_map.layers, attention_map.heads) == (4, 3)


def test_a_tensor_leaves_its_graph_and_its_precision():
    import torch

    weights = torch.softmax(torch.zeros(2, 4, requires_grad=True, dtype=torch.bfloat16), -1)
    attention_map = AttentionMap.from_arrays(weights, ["a", "b"], list("wxyz"))
    assert attention_map.weights.tolist() == [[[[0.25] * 4] * 2]]


def test_the_weights_are_a_copy_that_cannot_be_written():
    weights = np.full((1, 1, 2, 2), 0.5, np.float32)
    attention_map = AttentionMap(weights, ("a", "b"), ("x", "y"))
    weights[0, 0, 0, 0] = 9
    assert attention_map.weights[0, 0, 0, 0] == 0.5
    with pytest.raises(ValueError, match="read-only"):
        attention_map.weights[0, 0, 0, 0] = 1
    with pytest.raises(TypeError):
        attention_map.metadata["a"] = 1  # type: ignore[index]
    with pytest.raises(AttributeError):
        attention_map.kind = "decoder"


@pytest.mark.parametrize(
    ("weights", "queries", "keys", "options", "message"),
    [
        (
            [[1.0, 0.0]],
            ["a"],
            ["x"],
            {},
            r"1 query tokens and 1 key tokens need weights .* but these are \[1, 1, 1, 2\]",
        ),
        ([1.0], ["a"], ["x"], {}, r"this array has 1 dimensions, \[1\]"),
        (np.ones((1, 1, 1, 1, 1)), ["a"], ["x"], {}, "this array has 5 dimensions"),
        ([[0.5, -0.1]], ["a"], ["x", "y"], {}, "layer 0, head 0, query 0, key 1 is -0.1"),
        ([[float("nan")]], ["a"], ["x"], {}, "query 0, key 0 is nan"),
        ([[1e300]], ["a"], ["x"], {}, "query 0, key 0 is inf"),
        ([["high"]], ["a"], ["x"], {}, "array of numbers"),
        ([[1j]], ["a"], ["x"], {}, "array of numbers: complex128"),
        ([[1.0], [1.0, 2.0]], ["a", "b"], ["x"], {}, "array of numbers"),
        (np.ones((0, 1, 1)), ["a"], ["x"], {}, "at least one layer and one head"),
        ([[1.0]], "a", ["x"], {}, "query_tokens is a list of tokens, not one string"),
        ([[1.0]], ["a"], ["x"], {"metadata": {"score": float("inf")}}, "'score' is inf"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(weights, queries, keys, options, message):
    with pytest.raises(UserError, match=message):
        AttentionMap.from_arrays(weights, queries, keys, **options)


def test_values_of_the_wrong_type_are_refused_by_name_where_nothing_checks_annotations():
    """In a process of its own: in this one the annotations are checked before the map sees the values."""
    code = (
        "from shisen import AttentionMap, UserError\n"
        "for options in ({'kind': 'crossed'}, {'metadata': {'parts': [1]}}):\n"
        "    try: AttentionMap.from_arrays([[1.0]], ['a'], ['b'], **options)\n"
        "    except UserError as error: print(error)\n"
        "try: AttentionMap.from_arrays([[1.0]], ['a'], [3])\n"
        "except UserError as error: print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == [
        "the kind of an attention map is one of cross, encoder, decoder, not 'crossed'",
        "metadata are strings and numbers by name; 'parts' is a list",
        "key_tokens is a list of strings; 3 is a int",
    ]


def test_layers_and_heads_are_taken_and_the_map_says_which():
    attention_map = random_map(metadata={"model": "m"})
    part = attention_map.layer(1).head(-1)
    assert part.weights.shape == (1, 1, 4, 5)
    np.testing.assert_array_equal(part.weights[0, 0], attention_map.weights[1, 2])
    assert part.metadata == {"model": "m", "layer": 1, "head": 2}
    assert part.layer(0).metadata == part.metadata
    with pytest.raises(UserError, match="no layer 2: the map has 2, counted from 0 to 1"):
        attention_map.layer(2)
    with pytest.raises(UserError, match="no head -4"):
        attention_map.head(-4)


def test_means_are_over_the_named_axis_and_keep_rows_that_sum_to_one():
    attention_map = random_map()
    np.testing.assert_allclose(attention_map.mean_layers().weights[0], attention_map.weights.mean(0))
    np.testing.assert_allclose(attention_map.mean_heads().weights[:, 0], attention_map.weights.mean(1))
    both = attention_map.mean_layers().mean_heads()
    np.testing.assert_allclose(both.weights[0, 0], attention_map.matrix(), atol=1e-7)
    assert both.metadata == {"layer": "mean", "head": "mean"}
    assert both.is_normalized


def test_rows_are_reported_and_mended_only_on_request():
    assert AttentionMap.from_arrays([[1.0, 0.0], [0.0, 0.0]], ["a", "b"], ["x", "y"]).is_normalized
    odd = AttentionMap.from_arrays([[2.0, 2.0], [0.0, 0.0]], ["a", "b"], ["x", "y"])
    assert not odd.is_normalized
    assert odd.row_sums.tolist() == [[[4.0, 0.0]]]
    assert odd.normalized().weights[0, 0].tolist() == [[0.5, 0.5], [0.0, 0.0]]
    assert odd.weights[0, 0, 0].tolist() == [2.0, 2.0]


def test_merging_words_sums_over_keys_and_averages_over_queries():
    attention_map = AttentionMap.from_arrays(
        [[0.1, 0.2, 0.3, 0.4], [0.5, 0.1, 0.2, 0.2], [0.0, 0.0, 0.0, 1.0]],
        ["▁trans", "former", "</s>"],
        ["▁a", "▁go", "ing", "</s>"],
    )
    words = attention_map.merge_words()
    assert words.query_tokens == ("transformer", "</s>")
    assert words.key_tokens == ("a", "going", "</s>")
    np.testing.assert_allclose(words.weights[0, 0], [[0.3, 0.4, 0.3], [0.0, 0.0, 1.0]], atol=1e-7)
    assert words.is_normalized


def test_words_can_be_given():
    attention_map = random_map(1, 1, 3, 4)
    merged = attention_map.merge_words(query_words=[0, 0, 0], key_words=[0, 1, 1, 2])
    assert merged.query_tokens == ("q0q1q2",)
    assert merged.key_tokens == ("k0", "k1k2", "k3")
    expected = attention_map.weights[0, 0].mean(0)
    np.testing.assert_allclose(
        merged.weights[0, 0, 0], [expected[0], expected[1] + expected[2], expected[3]], rtol=1e-6
    )
    for wrong in ([0, 1], [0, 2, 2], [1, 1, 1], [0, 1, 0]):
        with pytest.raises(UserError, match="query_words has the number of a word for each of the 3 tokens"):
            attention_map.merge_words(query_words=wrong)


def test_special_tokens_are_dropped_and_the_rest_is_left_as_it_was():
    attention_map = AttentionMap.from_arrays(
        [[0.2, 0.5, 0.3], [0.0, 0.0, 1.0]], ["<unk>", "</s>"], ["<s>", "I", "</s>"]
    )
    rest = attention_map.without_special_tokens()
    assert (rest.query_tokens, rest.key_tokens) == (("<unk>",), ("I",))
    assert rest.weights.tolist() == [[[[0.5]]]]
    assert attention_map.without_special_tokens(["I"]).key_tokens == ("<s>", "</s>")


def test_equal_maps_are_equal_and_hash_alike_and_survive_copies():
    one, other = random_map(metadata={"a": 1}), random_map(metadata={"a": 1})
    assert one == other
    assert len({one, other, copy.deepcopy(one), pickle.loads(pickle.dumps(one))}) == 1
    assert one != random_map()
    assert one != one.layer(0)
    assert one != AttentionMap(one.weights, one.query_tokens, one.key_tokens, "decoder", one.metadata)
    assert one != "a map"


def test_a_map_shows_itself_in_one_line():
    shown = repr(random_map(queries=5))
    assert shown == (
        "AttentionMap(cross: 2 layers, 3 heads, 5 queries, 5 keys: 'q0 q1 q2 q3 …' <- 'k0 k1 k2 k3 …')"
    )


def test_a_map_without_tokens_is_a_map():
    empty = AttentionMap.from_arrays(np.zeros((0, 0)), [], [])
    assert empty.is_normalized
    assert empty.merge_words() == empty
    with pytest.raises(UserError, match="nothing to draw"):
        empty.plot()


def test_inspection_needs_neither_torch_nor_matplotlib():
    code = (
        "import sys; from shisen import AttentionMap; AttentionMap.from_arrays([[1.0]], ['a'], ['b']);"
        "print({'torch', 'matplotlib'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
