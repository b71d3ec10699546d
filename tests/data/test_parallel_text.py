"""Parallel text: the same pairs from every form, and every kind of trouble with its file and line."""

import gzip
import json
from pathlib import Path

import pytest

from shisen.data.config import ParallelTextConfig
from shisen.data.parallel_text import ReadingReport, read_lines, read_pairs
from shisen.errors import UserError

PAIRS = [("the cat sat", "猫が座った"), ("i love you", "愛している"), ("good night", "おやすみ")]


def _write(path: Path, text: str | bytes) -> Path:
    content = text if isinstance(text, bytes) else text.encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.name.endswith(".gz") else content)
    return path


def _side(index: int) -> str:
    return "".join(pair[index] + "\n" for pair in PAIRS)


def _tsv() -> str:
    return "".join("\t".join(pair) + "\n" for pair in PAIRS)


def _jsonl(source="source", target="target") -> str:
    return "".join(json.dumps({source: a, target: b}) + "\n" for a, b in PAIRS)


def _read(role="train", **config) -> list[tuple[str, str]]:
    return list(read_pairs(ParallelTextConfig(**config), role))


# ---- the forms


@pytest.mark.parametrize("gz", ["", ".gz"])
def test_two_files_a_tsv_and_a_jsonl_give_the_same_pairs(tmp_path, gz):
    source = _write(tmp_path / f"a.en{gz}", _side(0))
    target = _write(tmp_path / f"a.ja{gz}", _side(1))
    tsv = _write(tmp_path / f"a.tsv{gz}", _tsv())
    jsonl = _write(tmp_path / f"a.jsonl{gz}", _jsonl())
    assert _read(source=str(source), target=str(target)) == PAIRS
    assert _read(source=str(tsv)) == PAIRS
    assert _read(source=str(jsonl)) == PAIRS


def test_columns_of_a_tsv_are_chosen_by_number_or_by_header(tmp_path):
    rows = "".join(f"{number}\t{b}\t{a}\n" for number, (a, b) in enumerate(PAIRS))
    bare = _write(tmp_path / "bare.tsv", rows)
    headed = _write(tmp_path / "headed.tsv", "id\tjapanese\tenglish\n" + rows)
    assert _read(source=str(bare), source_column=3, target_column=2) == PAIRS
    assert _read(source=str(headed), source_column="english", target_column="japanese") == PAIRS


def test_keys_of_a_jsonl_are_chosen_by_name_also_under_translation(tmp_path):
    flat = _write(tmp_path / "flat.jsonl", _jsonl("en", "ja"))
    nested = "".join(json.dumps({"id": 1, "translation": {"en": a, "ja": b}}) + "\n" for a, b in PAIRS)
    nested = _write(tmp_path / "nested.jsonl", nested)
    assert _read(source=str(flat), source_column="en", target_column="ja") == PAIRS
    assert _read(source=str(nested), source_column="en", target_column="ja") == PAIRS


@pytest.mark.parametrize(
    ("files", "columns"),
    [
        ({"train.en": _side(0), "train.ja": _side(1)}, {"source_column": "en", "target_column": "ja"}),
        ({"train.en.gz": _side(0), "train.ja.gz": _side(1)}, {"source_column": "en", "target_column": "ja"}),
        ({"train.tsv": _tsv()}, {}),
        ({"train.jsonl.gz": _jsonl()}, {}),
    ],
)
def test_a_directory_of_splits_is_read_by_the_role(tmp_path, files, columns):
    for name, text in files.items():
        _write(tmp_path / name, text)
    assert _read(source=str(tmp_path), **columns) == PAIRS


@pytest.mark.parametrize("name", ["validation", "valid", "val", "dev"])
def test_the_validation_split_goes_by_many_names(tmp_path, name):
    _write(tmp_path / f"{name}.tsv", _tsv())
    assert _read("validation", source=str(tmp_path)) == PAIRS


def test_a_split_can_be_named(tmp_path):
    _write(tmp_path / "test_2016.tsv", _tsv())
    assert _read(source=str(tmp_path), split="test_2016") == PAIRS


def test_a_folder_of_parquet_is_read_by_the_library_datasets(tmp_path):
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({"translation": [{"en": a, "ja": b} for a, b in PAIRS]})
    (tmp_path / "data").mkdir()
    pyarrow.parquet.write_table(table, tmp_path / "data" / "train-00000-of-00001.parquet")
    assert _read(source=str(tmp_path), source_column="en", target_column="ja") == PAIRS
    with pytest.raises(UserError, match="no split validation or valid or val or dev; it has train"):
        _read("validation", source=str(tmp_path), source_column="en", target_column="ja")
    with pytest.raises(UserError, match="line 1: no key 'fr'; there are 'en', 'ja'"):
        _read(source=str(tmp_path), source_column="fr", target_column="ja")


def test_a_folder_of_jsonl_laid_out_like_a_hub_data_set_is_read_by_the_library_datasets(tmp_path):
    _write(tmp_path / "data" / "train.jsonl", _jsonl())
    assert _read(source=str(tmp_path)) == PAIRS


def test_a_data_set_of_the_hub_is_asked_for_by_its_id_and_configuration(monkeypatch):
    import datasets

    asked = []
    monkeypatch.setattr(datasets, "get_dataset_split_names", lambda *a: asked.append(a) or ["train", "test"])
    rows = [{"translation": {"en": a, "ja": b}} for a, b in PAIRS]
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **o: asked.append((a, o)) or rows)
    assert _read("test", source="owner/name:en-ja", source_column="en", target_column="ja") == PAIRS
    assert asked == [
        ("owner/name", "en-ja"),
        (("owner/name", "en-ja"), {"split": "test", "streaming": True}),
    ]


def test_what_is_neither_here_nor_on_the_hub_is_one_line(monkeypatch):
    import datasets

    def refuse(*_):
        raise ConnectionError("Couldn't reach the Hub\nand a second line")

    monkeypatch.setattr(datasets, "get_dataset_split_names", refuse)
    with pytest.raises(
        UserError, match=r"^owner/name: no such file .* nor a Hub data set .*reach the Hub\)$"
    ):
        _read(source="owner/name")


def test_two_files_are_read_side_by_side_with_windows_line_ends_and_a_byte_order_mark(tmp_path):
    source = _write(tmp_path / "a.en", b"\xef\xbb\xbf" + _side(0).replace("\n", "\r\n").encode())
    target = _write(tmp_path / "a.ja", _side(1))
    assert _read(source=str(source), target=str(target)) == PAIRS


def test_pairs_are_streamed(tmp_path):
    source = _write(tmp_path / "a.tsv", _tsv().encode() + b"\xff\n")
    stream = read_pairs(ParallelTextConfig(source=str(source)))
    assert [next(stream) for _ in PAIRS] == PAIRS


def test_lines_of_one_side_are_read_from_here_too(tmp_path):
    assert list(read_lines(_write(tmp_path / "a.en", "a\n\nb\n"))) == ["a", "", "b"]


# ---- trouble


def _two(source: str | bytes, target: str | bytes):
    return {"a.en": source, "a.ja": target}, {"source": "a.en", "target": "a.ja"}


def _one(name: str, text: str | bytes, **columns):
    return {name: text}, {"source": name, **columns}


TROUBLE = {
    "empty source": (_two("a\n\n", "b\nc\n"), "a.en, line 2: empty"),
    "blank target": (_two("a\nb\n", "b\n \u3000 \n"), "a.ja, line 2: empty"),
    "shorter target": (_two("a\nb\nc\n", "b\n"), "unequal numbers of lines: a.en has 3, a.ja has 1"),
    "shorter source": (_two("a\n", "b\nc\nd\n"), "unequal numbers of lines: a.en has 1, a.ja has 3"),
    "Latin-1": (_two("a\n", b"\xe4\n"), "a.ja, line 1: not UTF-8"),
    "NUL": (_two("a\0\n", "b\n"), "a.en, line 1: a NUL byte"),
    "escape": (_two("a\n", "\x1b[1m\n"), r"a.ja, line 1: the control character U\+001B"),
    "both empty": (_two("", ""), "a.en and a.ja: no sentence pairs; it is empty"),
    "missing source": (({}, {"source": "no.en", "target": "no.ja"}), "no.en: no such file"),
    "missing tsv": (({}, {"source": "data/no.tsv"}), "data/no.tsv: no such file"),
    "one file only": (_one("a.en", "a\n"), "a.en: holds one side only; name the other side's file as target"),
    "one column": (_one("a.tsv", "a\tb\nc\n"), "a.tsv, line 2: 1 column, at least 2 expected"),
    "empty column": (_one("a.tsv", "a\t\n"), "a.tsv, line 1: the target side is empty"),
    "column 0": (
        _one("a.tsv", "a\tb\n", source_column=0, target_column=1),
        "a.tsv: columns are numbered from 1, got 0",
    ),
    "target column 0": (
        _one("a.tsv", "a\tb\n", source_column=1, target_column=0),
        "a.tsv: columns are numbered from 1, got 0",
    ),
    "column -1": (_one("a.tsv", "a\tb\n", source_column=-1), "a.tsv: columns are numbered from 1, got -1"),
    "one column by number": (
        _one("a.tsv", "a\tb\n", source_column=2),
        "a.tsv: source and target are both column 2; give two different ones",
    ),
    "one column by header": (
        _one("a.tsv", "en\tja\na\tb\n", source_column="ja", target_column="ja"),
        "a.tsv: source and target are both column ja",
    ),
    "one key": (
        _one("a.jsonl", _jsonl(), source_column="target"),
        "a.jsonl: source and target are both column",
    ),
    "key 0": (_one("a.jsonl", _jsonl(), source_column=0), "a.jsonl, line 1: no key '0'"),
    "one suffix": (
        ({"x/train.en": "a\n"}, {"source": "x", "source_column": "en", "target_column": "en"}),
        "x: source and target are both column en",
    ),
    "no such header": (
        _one("a.tsv", "en\tja\na\tb\n", source_column="de"),
        "a.tsv, line 1: no column named de; the header has en, ja",
    ),
    "not JSON": (_one("a.jsonl", _jsonl() + "{'a'}\n"), r"a.jsonl, line 4: not JSON \("),
    "deep JSON": (_one("a.jsonl", "[" * 100_000 + "\n"), r"a.jsonl, line 1: not JSON \("),
    "not an object": (_one("a.jsonl", "[1]\n"), "a.jsonl, line 1: expected a JSON object"),
    "missing key": (
        _one("a.jsonl", '{"source": "a"}\n'),
        "a.jsonl, line 1: no key 'target'; there are 'source'",
    ),
    "not text": (_one("a.jsonl", '{"source": "a", "target": 3}\n'), "'target' is not a string but int"),
    "line feed in JSON": (
        _one("a.jsonl", '{"source": "a", "target": "b\\nc"}\n'),
        r"a.jsonl, line 1: the control character U\+000A at character 2",
    ),
    "half a character in JSON": (
        _one("a.jsonl", _jsonl() + '{"source": "\\ud800", "target": "x"}\n'),
        r"a.jsonl, line 4: the lone surrogate U\+D800 at character 1",
    ),
    "no split": (({"x/dev.tsv": "a\tb\n"}, {"source": "x"}), "x: no split train .* it holds dev.tsv"),
    "which side": (
        ({"x/train.en": "a\n", "x/train.ja": "b\n"}, {"source": "x"}),
        r"x: train has the sides en, ja; say which .*\(source_column: en, target_column: ja\)",
    ),
    "directory for a file": (
        ({"x/a": "a\n", "a.ja": "b\n"}, {"source": "x", "target": "a.ja"}),
        "x: is a directory",
    ),
    "truncated gzip": (_one("a.tsv.gz", "never read"), "a.tsv.gz: the gzip file is truncated"),
}


@pytest.mark.parametrize("case", TROUBLE)
def test_trouble_is_reported_where_it_is(tmp_path, monkeypatch, case):
    (files, config), message = TROUBLE[case]
    monkeypatch.chdir(tmp_path)
    for name, text in files.items():
        _write(tmp_path / name, text)
    if case == "truncated gzip":
        (tmp_path / "a.tsv.gz").write_bytes(gzip.compress(_tsv().encode() * 1000)[:-30])
    with pytest.raises(UserError, match=message) as raised:
        _read(**config)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_known_before_the_first_pair_is_asked_for(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_pairs(ParallelTextConfig(source=str(tmp_path / "no.en"), target=str(tmp_path / "no.ja")))


# ---- skipping


def test_bad_lines_can_be_skipped_and_are_counted(tmp_path):
    lines = [b"a\tb", b"\xff\tb", b"a", b"a\t", b"c\td", b"\te", b"x\0\ty"]
    path = _write(tmp_path / "a.tsv", b"\n".join(lines) + b"\n")
    report = ReadingReport()
    pairs = list(read_pairs(ParallelTextConfig(source=str(path)), skip_bad_lines=True, report=report))
    assert pairs == [("a", "b"), ("c", "d")]
    assert report.pairs == 2
    assert report.skipped == {"not UTF-8": 1, "too few columns": 1, "empty side": 2, "control character": 1}
    assert report.skipped_total == 5
    assert report.examples[0].startswith(f"{path}, line 2: not UTF-8")
    assert report.describe().startswith(
        "2 pairs; 5 bad lines skipped (1 not UTF-8, 1 too few columns, 2 empty"
    )


def test_a_report_keeps_only_the_first_examples():
    report = ReadingReport()
    for number in range(100):
        report.skip("empty side", f"line {number}")
    assert report.examples == [f"line {number}" for number in range(5)]


def test_unequal_counts_are_never_skipped(tmp_path):
    files, config = _two("a\n", "b\nc\n")
    for name, text in files.items():
        _write(tmp_path / name, text)
    config = ParallelTextConfig(**{key: str(tmp_path / name) for key, name in config.items()})
    with pytest.raises(UserError, match="unequal numbers of lines"):
        list(read_pairs(config, skip_bad_lines=True))


def test_nothing_but_bad_lines_is_no_corpus(tmp_path):
    path = _write(tmp_path / "a.tsv", "a\nb\n")
    with pytest.raises(UserError, match=r"no sentence pairs \(2 bad lines skipped\)"):
        list(read_pairs(ParallelTextConfig(source=str(path)), skip_bad_lines=True))


@pytest.mark.real_data
def test_the_real_corpora_are_read_whole(real_data):
    tanaka = ParallelTextConfig(source=str(real_data / "tanaka-en-ja"))
    multi30k = ParallelTextConfig(source=str(real_data / "multi30k"), source_column="en", target_column="de")
    assert sum(1 for _ in read_pairs(tanaka)) == 50_000
    assert sum(1 for _ in read_pairs(tanaka, "validation")) == 500
    assert sum(1 for _ in read_pairs(multi30k)) == 29_000
    assert sum(1 for _ in read_pairs(multi30k, "validation")) == 1_014
