"""Preparation: from a configuration to tokenizers and corpora, and back from disk."""

import pytest

from shisen.data.config import DataConfig
from shisen.data.preparation import PreparedData, prepare
from shisen.errors import UserError

TRAIN = [(f"the cat number {n} sat .", f"猫 {n} が 座っ た 。") for n in range(50)]


def _write(path, pairs):
    path.write_text("".join("\t".join(pair) + "\n" for pair in pairs), encoding="utf-8")
    return {"source": str(path)}


@pytest.fixture
def config(tmp_path) -> DataConfig:
    return DataConfig.model_validate(
        {
            "train": _write(tmp_path / "train.tsv", [*TRAIN, ("a " * 30, "猫")]),
            "validation": _write(tmp_path / "validation.tsv", [("the dog " * 20, "犬 が 座っ た 。")]),
            "tokenizer": {"kind": "word", "target_language": "ja"},
            "max_length": 20,
        }
    )


def test_tokenizers_and_corpora_are_made_and_opened_again(tmp_path, config):
    seen = []
    prepared = prepare(config, tmp_path / "data", lambda what, pairs: seen.append(what))
    assert len(prepared.train) == 50
    assert prepared.train.dropped == {"longer than 20 pieces": 1}
    assert prepared.reports["train"].pairs == 51
    assert prepared.target_tokenizer.decode(prepared.train.target[7].tolist()) == "猫7が座った。"
    assert seen[0] == "learning the source vocabulary"
    assert seen[-1] == "tokenising the train text"
    opened = PreparedData.open(tmp_path / "data")
    assert opened.source_tokenizer.fingerprint == prepared.source_tokenizer.fingerprint
    assert opened.train.fingerprint == prepared.train.fingerprint
    assert opened.validation is not None


def test_validation_pairs_are_not_dropped_for_their_length(tmp_path, config):
    prepared = prepare(config, tmp_path / "data")
    assert prepared.validation is not None
    assert prepared.validation.source_lengths.tolist() == [41]


def test_without_validation_there_is_none(tmp_path, config):
    prepared = prepare(config.model_copy(update={"validation": None}), tmp_path / "data")
    assert prepared.validation is None
    assert PreparedData.open(tmp_path / "data").validation is None


def test_a_joint_vocabulary_is_one_for_both_sides(tmp_path, config):
    config.tokenizer.joint = True
    prepared = prepare(config, tmp_path / "data")
    assert prepared.source_tokenizer is prepared.target_tokenizer
    assert set(prepared.source_tokenizer.encode("cat 猫")).isdisjoint({1})
    files = [(tmp_path / "data" / f"{side}_tokenizer.json").read_bytes() for side in ("source", "target")]
    assert files[0] == files[1]


def test_missing_validation_text_is_known_before_anything_is_done(tmp_path, config):
    config.validation.source = str(tmp_path / "no.tsv")
    seen = []
    with pytest.raises(UserError, match=r"no\.tsv: no such file"):
        prepare(config, tmp_path / "data", lambda what, pairs: seen.append(what))
    assert seen == []


def test_bad_lines_stop_or_are_skipped_and_reported(tmp_path, config):
    with open(config.train.source, "a", encoding="utf-8") as file:
        file.write("only one side\n")
    with pytest.raises(UserError, match="line 52: 1 column"):
        prepare(config, tmp_path / "data")
    config.skip_bad_lines = True
    assert prepare(config, tmp_path / "data").reports["train"].skipped == {"too few columns": 1}
