"""Corpora of embedded pairs: disjoint splits, the examples, the files, and requests that make no sense."""

import json

import pytest

from shisen.data.alignments import read_alignments
from shisen.data.embedded import corpus
from shisen.data.embedded.corpus import CorpusRequest, generate_pairs, split_of, write_corpus
from shisen.data.embedded.grammar import embedded_grammar
from shisen.data.embedded.parser import parse
from shisen.errors import UserError


@pytest.fixture(scope="module")
def splits():
    return generate_pairs(CorpusRequest(300, seed=1, min_words=4, max_words=9))


def test_splits_have_the_sizes_asked_for(splits):
    assert {name: len(pairs) for name, pairs in splits.items()} == {
        "train": 270,
        "validation": 15,
        "test": 15,
    }
    wanted = CorpusRequest(100, validation_pairs=7, test_pairs=11, max_words=10)
    assert wanted.sizes == {"train": 82, "validation": 7, "test": 11}


def test_no_sentence_of_either_language_is_in_two_splits(splits):
    for side in ("source", "target"):
        sentences = [{getattr(pair, side).removesuffix(" .") for pair in pairs} for pairs in splits.values()]
        assert sum(map(len, sentences)) == len(set.union(*sentences))


def test_no_pair_is_there_twice(splits):
    sources = [pair.source for pairs in splits.values() for pair in pairs]
    assert len(set(sources)) == len(sources)


def test_the_split_of_a_sentence_does_not_depend_on_the_corpus(splits):
    other = generate_pairs(CorpusRequest(200, seed=2, min_words=4, max_words=6))
    for one, pairs in splits.items():
        for another, others in other.items():
            if one != another:
                assert not {pair.target for pair in pairs} & {pair.target for pair in others}


def test_a_sentence_and_its_twin_with_a_full_stop_are_in_one_split():
    grammar = embedded_grammar()
    (bare,), (stopped,) = parse(grammar, "The dog ran"), parse(grammar, "The dog ran .")
    assert split_of(bare, grammar) == split_of(stopped, grammar)


def test_the_training_split_begins_with_the_examples(splits):
    assert [(pair.source, pair.target) for pair in splits["train"][:2]] == [
        ("I love deep learning", "私 は 深層 学習 が 好き です"),
        ("The cat sat on the mat", "その 猫 が マット の 上 に 座っ た"),
    ]


def test_examples_of_other_lengths_are_left_out():
    pairs = generate_pairs(CorpusRequest(40, min_words=7, max_words=8))["train"]
    assert {len(pair.source.split()) for pair in pairs} == {7, 8}


def test_the_same_request_gives_the_same_corpus_and_another_seed_another():
    request = CorpusRequest(60, seed=4, max_words=9)
    assert generate_pairs(request) == generate_pairs(request)
    assert generate_pairs(request) != generate_pairs(CorpusRequest(60, seed=5, max_words=9))


def test_lengths_are_spread_over_the_range_asked_for():
    pairs = [
        pair
        for split in generate_pairs(CorpusRequest(200, min_words=4, max_words=30)).values()
        for pair in split
    ]
    lengths = [len(pair.source.split()) for pair in pairs]
    assert min(lengths) >= 4
    assert max(lengths) <= 30
    assert sum(length > 17 for length in lengths) == pytest.approx(100, abs=30)


def test_more_sentences_than_there_are_cannot_be_had(monkeypatch):
    monkeypatch.setattr(corpus, "_DRAWS", 400)
    with pytest.raises(UserError, match=r"only \d+ of 100000 different sentences of 2 to 2 words found"):
        generate_pairs(CorpusRequest(100_000, min_words=2, max_words=2))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"pairs": 2}, "--pairs 2: at least 3"),
        ({"pairs": -1}, "--pairs -1"),
        ({"pairs": 10, "min_words": 1}, "--min-words 1: must be from 2 to 300"),
        ({"pairs": 10, "max_words": 301}, "--max-words 301: must be from 2 to 300"),
        ({"pairs": 10, "min_words": 9, "max_words": 8}, "--min-words 9 is more than --max-words 8"),
        ({"pairs": 10, "test_pairs": 0}, "--test-pairs 0: must be 1 or more"),
        ({"pairs": 10, "validation_pairs": -5}, "--validation-pairs -5"),
        ({"pairs": 10, "validation_pairs": 5, "test_pairs": 5}, "leaves none to train on: 10"),
    ],
)
def test_requests_that_make_no_sense_are_refused(options, complaint):
    with pytest.raises(UserError, match=complaint):
        CorpusRequest(**options)


def test_files_hold_the_pairs_line_by_line(tmp_path):
    folder = tmp_path / "corpus"
    splits = write_corpus(CorpusRequest(50, seed=3, max_words=15), folder)
    for split, pairs in splits.items():
        assert (folder / f"{split}.en").read_text("utf-8").splitlines() == [pair.source for pair in pairs]
        assert (folder / f"{split}.ja").read_text("utf-8").splitlines() == [pair.target for pair in pairs]
        assert read_alignments(folder / f"{split}.align") == [pair.alignment for pair in pairs]
    provenance = json.loads((folder / "corpus.json").read_text("utf-8"))
    assert provenance["pairs"] == {"train": 46, "validation": 2, "test": 2}
    assert provenance["grammar_fingerprint"] == embedded_grammar().fingerprint
    assert provenance["command"] in (folder / "README.md").read_text("utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]  # nothing left aside


def test_an_empty_folder_may_be_used_and_a_full_one_may_not(tmp_path):
    request = CorpusRequest(20, max_words=8)
    write_corpus(request, tmp_path / "new" / "corpus")
    (tmp_path / "empty").mkdir()
    write_corpus(request, tmp_path / "empty")
    before = sorted((tmp_path / "empty").iterdir())
    with pytest.raises(UserError, match="holds files already"):
        write_corpus(request, tmp_path / "empty")
    assert sorted((tmp_path / "empty").iterdir()) == before
