"""Attention from files of other programs: what is read, and that nothing but a map or one error comes out."""

import gzip
import json
import struct
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from shisen.errors import UserError
from shisen.inspection import AttentionMap
from shisen.inspection.readers import open_maps, read_marian, read_npy, read_pharaoh

WEIGHTS = np.array([[0.75, 0.25, 0.0], [0.125, 0.5, 0.375]], np.float32)


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def one(path, **options):
    (attention_map,) = open_maps(path, **options)
    return attention_map


# ---- JSON


@given(
    weights=arrays(np.float32, (2, 3, 2, 4), elements=st.floats(0, 2, width=32)),
    tokens=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=6, max_size=6),
)
@settings(max_examples=30, deadline=None)
def test_json_brings_back_every_bit(weights, tokens):
    attention_map = AttentionMap.from_arrays(weights, tokens[:2], tokens[2:], "cross", {"score": -1.5})
    assert AttentionMap.from_json(attention_map.to_json()) == attention_map


@pytest.mark.parametrize("shape", [(1, 1, 0, 0), (2, 3, 0, 2), (2, 3, 2, 0)])
def test_json_brings_back_a_map_without_tokens(shape):
    attention_map = AttentionMap(np.zeros(shape, np.float32), ("a",) * shape[2], ("b",) * shape[3])
    assert AttentionMap.from_json(attention_map.to_json()) == attention_map


def test_json_is_written_and_opened_as_a_file(tmp_path):
    attention_map = AttentionMap.from_arrays(WEIGHTS, ["猫", "</s>"], ["the", "cat", "</s>"])
    attention_map.to_json(tmp_path / "map.json")
    assert one(tmp_path / "map.json") == attention_map


def test_a_table_has_a_row_for_every_weight():
    table = AttentionMap.from_arrays(
        np.stack([WEIGHTS, WEIGHTS / 2]), ["x", "y"], ["a", "b", "a"]
    ).to_pandas()
    assert list(table) == ["layer", "head", "query", "query_token", "key", "key_token", "weight"]
    assert len(table) == 12
    row = table[(table["head"] == 1) & (table["query"] == 1) & (table["key"] == 2)].iloc[0]
    assert (row["query_token"], row["key_token"], row["weight"]) == ("y", "a", 0.1875)


def test_nested_lists_with_the_texts_of_both_sides_are_read(write):
    nested = np.stack([[WEIGHTS, WEIGHTS / 2]] * 2).tolist()
    path = write(
        "dump.json", json.dumps({"attention": nested, "left_text": ["x", "y"], "right_text": [*"abc"]})
    )
    attention_map = one(path)
    assert attention_map.weights.shape == (2, 2, 2, 3)
    assert (attention_map.query_tokens, attention_map.kind) == (("x", "y"), "cross")
    np.testing.assert_array_equal(attention_map.weights[1, 1], WEIGHTS / 2)


def test_a_list_of_attentions_is_several_maps(write):
    square = np.eye(2)[None, None].tolist()
    entry = {"name": None, "attn": square, "left_text": ["a", "b"], "right_text": ["a", "b"]}
    maps = list(
        open_maps(write("dump.json", json.dumps({"attention": [entry, entry], "default_filter": "0"})))
    )
    assert [one.kind for one in maps] == ["encoder", "encoder"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "line 1, column 2: no JSON"),
        ("[1, 2]", 'an object with "attention"'),
        ("[" * 100_000, "no JSON that can be read"),
        (b"\xff\xfe", "not UTF-8"),
        ('{"attention": [[1]]}', '"left_text"'),
        ('{"attention": [[NaN]], "tokens": ["a"]}', "layer 0, head 0, query 0, key 0 is nan"),
        ('{"attention": [[-1]], "tokens": ["a"]}', "query 0, key 0 is -1.0"),
        ('{"attention": [[1, 2], [3]], "tokens": ["a", "b"]}', "array of numbers"),
        ('{"attention": [["x"]], "tokens": ["a"]}', "not a number type"),
        ('{"attention": [[1]], "tokens": [7]}', "list of strings"),
        ('{"attention": [[1]], "tokens": ["\\ud800"]}', "half of a character"),
        ('{"attention": [[1e999]], "tokens": ["a"]}', "is inf"),
        ('{"attention": [[1]], "tokens": ["a"], "kind": "x"}', "one of cross, encoder, decoder"),
        ('{"format": "shisen attention map", "version": 2}', "version 2"),
        ('{"format": "shisen attention map", "version": 1}', '"query_tokens"'),
    ],
)
def test_a_json_file_that_holds_no_map_is_one_error(write, content, words):
    path = write("dump.json", content)
    with pytest.raises(UserError) as error:
        list(open_maps(path))
    assert str(error.value).startswith(str(path))
    assert words in str(error.value)


# ---- NumPy


def test_weights_of_numpy_and_their_tokens_are_read(tmp_path, write):
    np.save(tmp_path / "a.npy", WEIGHTS.astype(np.float16))
    write("a.tokens", "猫 </s>\nthe cat </s>\n")
    assert one(tmp_path / "a.npy") == AttentionMap.from_arrays(
        WEIGHTS, ["猫", "</s>"], ["the", "cat", "</s>"]
    )
    assert read_npy(tmp_path / "a.npy", ["x", "y"], [*"abc"]).query_tokens == ("x", "y")


def test_one_line_of_tokens_is_that_of_both_sides(tmp_path, write):
    np.save(tmp_path / "a.npy", np.eye(2)[None])
    write("a.tokens", "a b\n")
    assert one(tmp_path / "a.npy").kind == "encoder"


class Exploding:
    def __reduce__(self):
        return open, ("opened-by-a-pickle", "w")


def test_a_pickle_in_a_numpy_file_is_not_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", np.array([Exploding()], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="no NumPy file of numbers"):
        read_npy("a.npy", ["a"], ["a"])
    assert not (tmp_path / "opened-by-a-pickle").exists()


def test_a_header_that_promises_too_much_is_refused_before_memory_is_taken(tmp_path):
    path = tmp_path / "a.npy"
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (40000, 40000), }\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(64))
    with pytest.raises(UserError):
        read_npy(path, ["a"], ["a"])


def test_missing_tokens_and_wrong_counts_are_said(tmp_path, write):
    np.save(tmp_path / "a.npy", WEIGHTS)
    with pytest.raises(UserError, match=r"its tokens are missing: .*a\.tokens"):
        one(tmp_path / "a.npy")
    write("a.tokens", "x\na b c\n")
    with pytest.raises(UserError, match=r"1 query tokens and 3 key tokens need weights"):
        one(tmp_path / "a.npy")


# ---- Marian

SOFT = "0.75,0.25,0 0.125,0.5,0.375"


@pytest.mark.parametrize("line", [SOFT, f"猫 ||| {SOFT}", f"0 ||| 猫 ||| {SOFT} ||| F0= -1.2 ||| -0.6"])
def test_soft_alignments_of_marian_are_read(write, line):
    attention_map = one(write("a.marian", line + "\n"))
    np.testing.assert_array_equal(attention_map.weights[0, 0], WEIGHTS)
    assert attention_map.query_tokens == (("0", "1") if line == SOFT else ("猫", "</s>"))
    assert attention_map.key_tokens == ("0", "1", "2")
    assert one(write("a.marian", line), sources=["the cat"]).key_tokens == ("the", "cat", "</s>")


def test_in_a_list_of_the_best_the_number_says_which_source_it_is(write):
    lines = [f"{number} ||| 猫 ||| {SOFT} ||| F0= -1 ||| -1" for number in (0, 0, 1)]
    maps = list(open_maps(write("a.marian", "\n".join(lines)), sources=["the cat", "a dog"]))
    assert [one.key_tokens[0] for one in maps] == ["the", "the", "a"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("猫 が", "not '猫'"),
        ("猫 ||| ", "not nothing"),
        ("0.5,0.5 1", "target token 1 has 1 weights, the first 2"),
        ("0.5,nan", "key 1 is nan"),
        ("inf,0.5", "key 0 is inf"),
        ("0.5,-0.1", "key 1 is -0.1"),
    ],
)
def test_a_line_that_is_no_soft_alignment_is_named(write, line, words):
    with pytest.raises(UserError, match="line 2") as error:
        list(open_maps(write("a.marian", f"{SOFT}\n{line}\n")))
    assert words in str(error.value)


def test_sentences_that_do_not_fit_are_named(write):
    path = write("a.marian", SOFT + "\n" + SOFT)
    with pytest.raises(UserError, match=r"line 1: 3 tokens have weights, but 'one' has 1"):
        list(read_marian(path, sources=["one"]))
    with pytest.raises(UserError, match=r"line 2: there are 1 source sentences only"):
        list(read_marian(path, sources=["the cat"]))


# ---- Pharaoh


def test_hard_alignments_are_maps_of_ones(write):
    path = write("a.pharaoh", "0-0 2p1\n\n")
    first, second = open_maps(path, sources=["a b c", "d"], targets=["x y z", "w"])
    np.testing.assert_array_equal(first.matrix(), [[1, 0, 0], [0, 0, 1], [0, 0, 0]])
    assert (first.query_tokens, first.key_tokens) == (("x", "y", "z"), ("a", "b", "c"))
    np.testing.assert_array_equal(second.matrix(), [[0]])
    assert first.is_normalized


def test_without_sentences_words_are_numbers_and_gzip_is_opened(write):
    path = write("a.pharaoh.gz", gzip.compress(b"0-0 2-1\n"))
    assert one(path).key_tokens == ("0", "1", "2")


def test_links_beyond_the_sentence_are_named(write):
    path = write("a.pharaoh", "0-0\n3-0\n")
    with pytest.raises(UserError, match=r"line 2: a link names source word 3, from 0, but there are 2"):
        list(read_pharaoh(path, ["a b", "a b"], ["x", "x"]))
    with pytest.raises(UserError, match="line 1: a link names target word 999999999"):
        one(write("a.pharaoh", "0-999999999"))


# ---- whatever a file holds


def test_other_names_and_missing_files_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"ends in \.safetensors"):
        open_maps(tmp_path / "a.txt")
    for suffix in ("json", "npy", "marian", "pharaoh", "safetensors"):
        with pytest.raises(UserError, match="no such file"):
            list(open_maps(tmp_path / f"a.{suffix}"))
        (tmp_path / f"d.{suffix}").mkdir()
        with pytest.raises(UserError, match="is a directory"):
            list(open_maps(tmp_path / f"d.{suffix}"))


def good_bytes(suffix, folder):
    path = folder / f"good.{suffix}"
    attention_map = AttentionMap.from_arrays(WEIGHTS, ["猫", "</s>"], ["the", "cat", "</s>"])
    if suffix == "attn.safetensors":
        attention_map.save(path)
    elif suffix == "json":
        attention_map.to_json(path)
    elif suffix == "npy":
        np.save(path, WEIGHTS)
    else:
        path.write_text({"marian": SOFT, "pharaoh": "0-0 1-1"}[suffix] + "\n", "utf-8")
    return path.read_bytes()


@pytest.mark.parametrize("suffix", ["attn.safetensors", "json", "npy", "marian", "pharaoh"])
@given(data=st.data())
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_maps_or_one_error(suffix, data, tmp_path):
    good = good_bytes(suffix, tmp_path)
    content = bytearray(good)
    if data.draw(st.booleans(), label="damaged, not arbitrary"):
        for _ in range(data.draw(st.integers(1, 4))):
            place = data.draw(st.integers(0, len(good) - 1))
            content[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    else:
        content = bytearray(data.draw(st.binary(max_size=200)))
    path = tmp_path / f"fuzzed.{suffix}"
    path.write_bytes(content)
    (tmp_path / "fuzzed.tokens").write_text("猫 </s>\nthe cat </s>\n", "utf-8")
    maps = []
    with suppress(UserError):
        maps = list(open_maps(path))
    assert all(np.isfinite(one.weights).all() for one in maps)
