"""The tokenised corpus: what goes in comes out, what is dropped is counted, what is damaged is refused."""

import json
import os

import numpy as np
import pytest

from shisen.data.config import TokenizerConfig
from shisen.data.corpus import TokenizedCorpus
from shisen.data.tokenizer import Tokenizer
from shisen.data.vocabulary import BEGIN, END
from shisen.errors import UserError

PAIRS = [("a b c", "x y"), ("a", "x"), ("c b a c b a", "y"), ("b", "x y x y x y x y")]


@pytest.fixture(scope="module")
def tokenizers() -> tuple[Tokenizer, Tokenizer]:
    config = TokenizerConfig(kind="word")
    return Tokenizer.train(["a b c"], config), Tokenizer.train(["x y"], config)


def _build(folder, tokenizers, pairs=PAIRS, **options) -> TokenizedCorpus:
    return TokenizedCorpus.build(iter(pairs), *tokenizers, folder / "corpus", **options)


def test_pairs_come_out_as_they_went_in(tmp_path, tokenizers):
    source_tokenizer, target_tokenizer = tokenizers
    corpus = _build(tmp_path, tokenizers)
    assert len(corpus) == 4
    for index, (source, target) in enumerate(PAIRS):
        assert corpus.source[index].tolist() == [*source_tokenizer.encode(source), END]
        assert corpus.target[index].tolist() == [BEGIN, *target_tokenizer.encode(target), END]
    assert corpus.source_lengths.tolist() == [4, 2, 7, 2]
    assert corpus.target_lengths.tolist() == [4, 3, 3, 10]
    assert corpus.dropped == {}


def test_what_is_built_can_be_opened_again(tmp_path, tokenizers):
    built = _build(tmp_path, tokenizers)
    opened = TokenizedCorpus.open(tmp_path / "corpus")
    assert opened.fingerprint == built.fingerprint
    assert opened.target[3].tolist() == built.target[3].tolist()


def test_ids_stay_on_disk_and_lengths_in_memory(tmp_path, tokenizers):
    corpus = _build(tmp_path, tokenizers)
    assert isinstance(corpus.source.ids, np.memmap)
    assert isinstance(corpus.source.offsets, np.memmap)
    assert corpus.source.ids.dtype == np.uint16
    assert not isinstance(corpus.source.lengths, np.memmap)
    assert corpus.source.lengths.dtype == np.uint16


def test_a_large_vocabulary_takes_wider_ids(tmp_path, tokenizers):
    large = Tokenizer.train([" ".join(map(str, range(70_000)))], TokenizerConfig(kind="word"))
    corpus = TokenizedCorpus.build([("69999 5", "x")], large, tokenizers[1], tmp_path / "c")
    assert corpus.source.ids.dtype == np.int32
    assert large.decode(corpus.source[0].tolist()) == "69999 5"


def test_long_and_lopsided_pairs_are_dropped_and_counted(tmp_path, tokenizers):
    corpus = _build(tmp_path, tokenizers, max_length=7, max_length_ratio=5.0)
    assert len(corpus) == 2
    assert corpus.dropped == {"longer than 7 pieces": 1, "length ratio above 5": 1}
    assert TokenizedCorpus.open(tmp_path / "corpus").dropped == corpus.dropped


def test_a_length_at_the_limit_stays(tmp_path, tokenizers):
    assert len(_build(tmp_path, tokenizers, max_length=8, max_length_ratio=8.0)) == 4


def test_building_is_in_chunks_and_tells_how_far_it_is(tmp_path, tokenizers):
    seen: list[int] = []
    pairs = [("a b", "x")] * 20_000
    corpus = _build(tmp_path, tokenizers, pairs, progress=seen.append)
    assert len(corpus) == 20_000
    assert seen == sorted(seen)
    assert seen[-1] == 20_000
    assert len(seen) > 1
    assert corpus.source[19_999].tolist() == corpus.source[0].tolist()


def test_the_fingerprint_tells_corpora_apart(tmp_path, tokenizers):
    first = _build(tmp_path, tokenizers).fingerprint
    assert _build(tmp_path, tokenizers).fingerprint == first
    assert _build(tmp_path, tokenizers, PAIRS[::-1]).fingerprint != first


def test_nothing_left_is_an_error_that_says_why(tmp_path, tokenizers):
    with pytest.raises(UserError, match=r"no sentence pair is left of 4 read \(dropped: 4 longer than"):
        _build(tmp_path, tokenizers, [("a a", "x")] * 4, max_length=1)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_the_earlier_corpus_and_no_rubbish(tmp_path, tokenizers):
    before = _build(tmp_path, tokenizers)

    def pairs():
        yield PAIRS[0]
        raise UserError("line 2: empty")

    with pytest.raises(UserError, match="line 2"):
        TokenizedCorpus.build(pairs(), *tokenizers, tmp_path / "corpus")
    assert TokenizedCorpus.open(tmp_path / "corpus").fingerprint == before.fingerprint
    assert os.listdir(tmp_path) == ["corpus"]


def test_a_folder_of_something_else_is_not_overwritten(tmp_path, tokenizers):
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="nothing was overwritten"):
        _build(tmp_path, tokenizers)
    assert (tmp_path / "corpus" / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "corpus.json").unlink(), "is this a tokenised corpus"),
        (lambda folder: (folder / "corpus.json").write_text("{"), "damaged or not ours"),
        (lambda folder: (folder / "corpus.json").write_text("[]"), "damaged or not ours"),
        (lambda folder: (folder / "source.ids").unlink(), "a file of the tokenised corpus is missing"),
        (lambda folder: (folder / "target.ids").write_bytes(b"12"), "expected 40 bytes, found 2"),
        (lambda folder: (folder / "source.offsets").write_bytes(b""), "expected 40 bytes, found 0"),
    ],
)
def test_a_damaged_corpus_is_refused(tmp_path, tokenizers, damage, message):
    _build(tmp_path, tokenizers)
    damage(tmp_path / "corpus")
    with pytest.raises(UserError, match=message):
        TokenizedCorpus.open(tmp_path / "corpus")


def test_a_newer_format_is_named(tmp_path, tokenizers):
    _build(tmp_path, tokenizers)
    path = tmp_path / "corpus" / "corpus.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2}))
    with pytest.raises(UserError, match="format 2, this version reads 1"):
        TokenizedCorpus.open(tmp_path / "corpus")
