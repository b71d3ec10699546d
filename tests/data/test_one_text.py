"""One text, of a language model: the same lines from every form, as a corpus whose source is nothing."""

import gzip
import json

import numpy as np
import pytest
import torch

from shisen.data.batches import BucketedBatches
from shisen.data.config import DataConfig, ParallelTextConfig, TokenizerConfig
from shisen.data.corpus import TokenizedCorpus
from shisen.data.parallel_text import ReadingReport, read_text
from shisen.data.preparation import PreparedData, prepare
from shisen.data.tokenizer import Tokenizer
from shisen.data.vocabulary import BEGIN, END
from shisen.errors import UserError

LINES = ["the cat sat", "i love you", "good night"]


def read(role="train", **config):
    return list(read_text(ParallelTextConfig(**config), role))


def write(path, text):
    content = text.encode() if isinstance(text, str) else text
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.name.endswith(".gz") else content)
    return str(path)


@pytest.mark.parametrize("gz", ["", ".gz"])
def test_a_file_a_column_of_a_tsv_and_a_key_of_a_jsonl_give_the_same_lines(tmp_path, gz):
    plain = write(tmp_path / f"a.en{gz}", "".join(f"{line}\n" for line in LINES))
    tsv = write(tmp_path / f"a.tsv{gz}", "".join(f"{line}\t猫\n" for line in LINES))
    headed = write(tmp_path / f"b.tsv{gz}", "ja\ten\n" + "".join(f"猫\t{line}\n" for line in LINES))
    jsonl = write(tmp_path / f"a.jsonl{gz}", "".join(json.dumps({"text": line}) + "\n" for line in LINES))
    nested = {"translation": {"en": "a", "ja": "b"}}
    other = write(tmp_path / f"b.jsonl{gz}", json.dumps(nested))
    assert read(source=plain) == read(source=tsv) == read(source=jsonl) == LINES
    assert read(source=headed, source_column="en") == read(source=tsv, source_column=1) == LINES
    assert read(source=tsv, source_column=2) == ["猫"] * 3
    assert read(source=other, source_column="ja") == ["b"]


def test_a_directory_of_splits_is_read_by_the_role(tmp_path):
    for split, line in (("train", "one"), ("valid", "two")):
        write(tmp_path / f"{split}.txt", line + "\n")
        write(tmp_path / f"{split}.ja.gz", line.upper() + "\n")
    folder = str(tmp_path)
    assert (read(source=folder), read("validation", source=folder)) == (["one"], ["two"])
    assert read(source=folder, source_column="ja") == ["ONE"]
    assert read(source=folder, split="valid") == ["two"]


def test_empty_lines_are_left_out_without_a_word(tmp_path):
    report = ReadingReport(unit="lines")
    config = ParallelTextConfig(source=write(tmp_path / "a", "one\n\n   \ntwo\n"))
    assert list(read_text(config, report=report)) == ["one", "two"]
    assert report.describe() == "2 lines"


@pytest.mark.parametrize(
    ("files", "config", "message"),
    [
        ({}, {}, "text: no such file"),
        ({"text": ""}, {}, "text: no lines; it is empty"),
        ({"text": b"a\ncaf\xe9\n"}, {}, "text, line 2: not UTF-8 .* leaves such lines out"),
        ({"a.tsv": "a\tb\n"}, {"source": "a.tsv", "source_column": 3}, "line 1: 2 columns, at least 3"),
        ({"a.jsonl": '{"en": "a"}'}, {"source": "a.jsonl"}, "line 1: no key 'text'; there are 'en'"),
        ({"a.jsonl": "[]"}, {"source": "a.jsonl"}, "line 1: expected a JSON object with the text"),
        ({"d/train.en": "a", "d/train.ja": "b"}, {"source": "d"}, "sides en, ja; say which one by source_co"),
        ({"d/test.txt": "a"}, {"source": "d"}, r"no split train \(as train.tsv, train.jsonl or train.txt"),
    ],
)
def test_trouble_is_reported_where_it_is(tmp_path, monkeypatch, files, config, message):
    monkeypatch.chdir(tmp_path)
    for name, content in files.items():
        write(tmp_path / name, content)
    with pytest.raises(UserError, match=message):
        read(**{"source": "text", **config})


def test_a_corpus_of_one_text_has_a_source_of_nothing(tmp_path):
    tokenizer = Tokenizer.train(LINES, TokenizerConfig(kind="word"))
    pairs = [("", line) for line in [*LINES, "the cat sat i love you"]]
    corpus = TokenizedCorpus.build(pairs, None, tokenizer, tmp_path / "corpus", max_length=3)
    assert corpus.dropped == {"longer than 3 pieces": 1}
    assert corpus.source_lengths.tolist() == [0, 0, 0]
    assert corpus.target_lengths.tolist() == [5, 5, 4]
    assert corpus.target[0].tolist() == [BEGIN, *tokenizer.encode(LINES[0]), END]
    again = TokenizedCorpus.open(tmp_path / "corpus")
    assert again.fingerprint == corpus.fingerprint
    for batch_by, size in (("sentences", 2), ("tokens", 10)):
        batches = list(BucketedBatches(again, size, batch_by).epoch(0))
        assert sum(map(len, (batch.target for batch in batches))) == 3
        assert all(batch.source.shape == (len(batch.target), 0) for batch in batches)
        assert sum(batch.target_tokens for batch in batches) == 3 + 3 + 2 + 3
    assert batches[0].to("cpu").source.dtype == torch.int64


def test_a_corpus_of_which_no_line_is_left_is_refused(tmp_path):
    tokenizer = Tokenizer.train(LINES, TokenizerConfig(kind="word"))
    with pytest.raises(UserError, match="no line is left of 1 read"):
        TokenizedCorpus.build([("", "a b c")], None, tokenizer, tmp_path / "corpus", max_length=2)


def test_preparing_one_text_learns_one_tokenizer(tmp_path):
    text = write(tmp_path / "text", "\n".join(LINES))
    config = DataConfig(
        train=ParallelTextConfig(source=text),
        validation=ParallelTextConfig(source=text),
        tokenizer=TokenizerConfig(kind="word", source_language="en"),
    )
    told = []
    prepared = prepare(config, tmp_path / "out", lambda what, rows: told.append(what), is_one_text=True)
    assert prepared.source_tokenizer is prepared.target_tokenizer
    assert prepared.target_tokenizer.settings.language == "en"
    assert [report.describe() for report in prepared.reports.values()] == ["3 lines", "3 lines"]
    assert told[0] == "learning the vocabulary"
    opened = PreparedData.open(tmp_path / "out")
    assert opened.validation is not None
    np.testing.assert_array_equal(opened.train.target.ids, opened.validation.target.ids)
    assert opened.source_tokenizer.fingerprint == opened.target_tokenizer.fingerprint


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source_column": "en"}, "text: holds lines, of which there is no column en"),
        ({"source_column": 2}, "text: holds lines, of which there is no column 2"),
        ({"split": "test"}, "text: is a file, which has no split test"),
    ],
)
def test_a_plain_file_has_neither_columns_nor_splits(tmp_path, settings, message):
    text = write(tmp_path / "text", "\n".join(LINES))
    with pytest.raises(UserError, match=message):
        list(read_text(ParallelTextConfig(source=text, **settings)))
