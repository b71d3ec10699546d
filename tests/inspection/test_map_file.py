"""Maps in files: what was written comes back, and what is not such a file is refused in one line."""

import json
import struct

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from shisen import AttentionMap, UserError
from shisen.errors import RunError
from shisen.inspection import load_maps, map_file, save_maps


def some_map(seed=0, queries=3, keys=4):
    weights = np.random.default_rng(seed).random((2, 2, queries, keys), dtype=np.float32)
    rows = ["私", 'quote" back\\slash', "line\nbreak </s> \U0001f600", *map(str, range(queries))][:queries]
    return AttentionMap.from_arrays(
        weights, rows, [f"k{i}" for i in range(keys)], metadata={"n": seed, "score": -0.5, "model": "日本\0"}
    )


def test_a_map_comes_back_bit_for_bit(tmp_path):
    path = tmp_path / "deeper" / "one.attn.safetensors"
    attention_map = some_map()
    attention_map.save(path)
    loaded = AttentionMap.load(path)
    assert loaded == attention_map
    assert loaded.weights.tobytes() == attention_map.weights.tobytes()
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_the_file_is_plain_safetensors_with_the_tokens_as_json_in_the_header(tmp_path):
    path = tmp_path / "one.attn.safetensors"
    attention_map = some_map()
    attention_map.save(path)
    with safe_open(path, framework="numpy") as file:
        np.testing.assert_array_equal(file.get_tensor("weights.0"), attention_map.weights)
        header = json.loads(file.metadata()["shisen_attention"])
    assert header["maps"][0]["query_tokens"] == list(attention_map.query_tokens)


def test_the_same_map_gives_the_same_bytes(tmp_path):
    some_map().save(tmp_path / "a.attn.safetensors")
    some_map().save(tmp_path / "b.attn.safetensors")
    assert (tmp_path / "a.attn.safetensors").read_bytes() == (tmp_path / "b.attn.safetensors").read_bytes()


def test_many_maps_of_different_sizes_share_a_file(tmp_path):
    path = tmp_path / "all.attn.safetensors"
    maps = [some_map(i, queries=i, keys=i + 1) for i in range(12)]
    save_maps(path, (attention_map for attention_map in maps))
    loaded = load_maps(path)
    assert list(loaded) == maps
    assert len(loaded) == 12
    assert loaded[-1] == maps[-1]
    assert loaded[2:4] == maps[2:4]
    with pytest.raises(IndexError):
        loaded[12]
    with pytest.raises(UserError, match="holds 12 attention maps, not one"):
        AttentionMap.load(path)


def test_no_maps_make_an_empty_file_that_opens(tmp_path):
    save_maps(tmp_path / "none.attn.safetensors", [])
    assert len(load_maps(tmp_path / "none.attn.safetensors")) == 0


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "one.attn.safetensors"
    some_map().save(path)
    before = path.read_bytes()

    def interrupted():
        yield some_map(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save_maps(path, interrupted())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_more_tokens_than_a_header_holds_are_refused_before_a_useless_file_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(map_file, "MAXIMUM_HEADER_BYTES", 3000)
    with pytest.raises(RunError, match="do not fit into one file"):
        save_maps(tmp_path / "all.attn.safetensors", [some_map(i) for i in range(50)])
    assert list(tmp_path.iterdir()) == []


def test_a_file_cut_off_anywhere_is_refused(tmp_path):
    path = tmp_path / "one.attn.safetensors"
    some_map().save(path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match="not a whole file of attention maps"):
            AttentionMap.load(path)


def _header(**parts):
    return {"shisen_attention": json.dumps({"version": 1, "maps": [], **parts})}


_TOKENS = {"query_tokens": ["a"], "key_tokens": ["b"], "kind": "cross", "metadata": {}}
_ONE = np.ones((1, 1, 1, 1), np.float32)


@pytest.mark.parametrize(
    ("tensors", "metadata", "message"),
    [
        ({"w": _ONE}, None, "a safetensors file, but not a whole file of attention maps"),
        ({}, {"shisen_attention": "{"}, "header is damaged"),
        ({}, {"shisen_attention": "[" * 100_000}, "header is damaged"),
        ({}, {"shisen_attention": "[1]"}, "header is damaged"),
        ({}, _header(version=99), "version 99 of the format; this version of shisen reads 1"),
        ({}, _header(maps=[_TOKENS]), "header and its weights do not agree"),
        ({"weights.0": _ONE}, _header(), "header and its weights do not agree"),
        ({"weights.0": _ONE}, _header(maps=["a"]), "header and its weights do not agree"),
        ({"weights.0": _ONE.astype(np.int64)}, _header(maps=[_TOKENS]), "weights of map 0 are I64"),
        ({"weights.0": _ONE[0]}, _header(maps=[_TOKENS]), "not F32 with 4 dimensions"),
        (
            {"weights.0": -_ONE},
            _header(maps=[_TOKENS]),
            "map 0: attention weights are finite and not negative",
        ),
        (
            {"weights.0": _ONE},
            _header(maps=[{**_TOKENS, "key_tokens": ["b", "c"]}]),
            "map 0: .* 2 key tokens",
        ),
        ({"weights.0": _ONE}, _header(maps=[{"kind": "cross"}]), "header of map 0 is damaged"),
        ({"weights.0": _ONE}, _header(maps=[{**_TOKENS, "metadata": 3}]), "header of map 0 is damaged"),
    ],
)
def test_foreign_and_damaged_files_are_refused(tmp_path, tensors, metadata, message):
    path = tmp_path / "odd.attn.safetensors"
    save_file(tensors, path, metadata)
    with pytest.raises(UserError, match=message) as error:
        list(load_maps(path))
    assert str(path) in str(error.value)


def test_files_that_are_no_files_are_refused(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        load_maps(tmp_path / "missing.attn.safetensors")
    with pytest.raises(UserError, match="is a directory"):
        load_maps(tmp_path)
    (tmp_path / "text").write_text("attention!")
    with pytest.raises(UserError, match="not a whole file"):
        load_maps(tmp_path / "text")


def test_a_header_that_promises_more_than_is_read_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "large.attn.safetensors"
    some_map().save(path)
    monkeypatch.setattr(map_file, "MAXIMUM_MAP_BYTES", 100)
    with pytest.raises(UserError, match="map 0 has 192 bytes; the most that is read is 100"):
        AttentionMap.load(path)


def test_a_header_length_beyond_the_file_is_refused(tmp_path):
    path = tmp_path / "bomb.attn.safetensors"
    path.write_bytes(struct.pack("<Q", 2**60) + b"{}")
    with pytest.raises(UserError, match="not a whole file"):
        load_maps(path)
