"""A translator on CTranslate2: the same objects, options and limits as on PyTorch; beam search near to it."""

import json
import shutil

import numpy as np
import pytest

from shisen.errors import UserError
from shisen.evaluation.system import evaluate_system
from shisen.export.exporting import export_model
from shisen.pipelines import LongSourceError, Translator
from small_model import SOURCES, TARGETS, save_small_transformer

pytest.importorskip("ctranslate2", reason="the extra ctranslate2 is not installed")

LINES = [*SOURCES, "the dog sat .", "", "i read a mat on books .", "learning", "  ", "cat " * 9]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_small_transformer(tmp_path_factory.mktemp("small") / "model")


@pytest.fixture(scope="module")
def directory(model):
    out = model.parent / "out"
    export_model(model, "ctranslate2", out)
    return out


@pytest.fixture(scope="module")
def ours(model) -> Translator:
    return Translator.load(model)


@pytest.fixture(scope="module")
def theirs(directory) -> Translator:
    return Translator.load(directory)


def test_a_translation_holds_the_same_things(ours, theirs):
    one = ours.translate(SOURCES[0], beam_size=1, length_penalty=0.5)
    other = theirs.translate(SOURCES[0], beam_size=1, length_penalty=0.5)
    assert (one.text, one.tokens, one.source_tokens) == (other.text, other.tokens, other.source_tokens)
    np.testing.assert_allclose(one.log_probabilities, other.log_probabilities, atol=1e-5)
    assert other.score == pytest.approx(one.score, abs=1e-5)
    assert other.score == pytest.approx(sum(other.log_probabilities) / ((5 + len(other.tokens)) / 6) ** 0.5)
    assert other.model == theirs.fingerprint != ours.fingerprint
    assert other.hypotheses[0].tokens == other.tokens


def test_attention_is_the_mean_of_the_last_layers_heads(ours, theirs):
    for one, other in zip(
        ours.translate(LINES, beam_size=1), theirs.translate(LINES, beam_size=1), strict=True
    ):
        assert other.attention.keys() == ({"cross"} if one.tokens else set())
        if not one.tokens:
            continue
        found, expected = other.attention["cross"], one.attention["cross"]
        assert found.weights.shape == (1, 1, len(other.tokens), len(other.source_tokens))
        np.testing.assert_allclose(found.weights[0, 0], expected.weights[-1].mean(0), atol=1e-5)
        assert (found.query_tokens, found.key_tokens) == (expected.query_tokens, expected.key_tokens)
        assert found.metadata["engine"] == "ctranslate2"
        assert (found.metadata["layer"], found.metadata["heads"]) == (2, "mean of 4")


def test_a_given_translation_is_read_as_ours_reads_it(ours, theirs):
    sources, targets = [*SOURCES, ""], [*TARGETS, TARGETS[0]]
    for one, other in zip(ours.force(sources, targets), theirs.force(sources, targets), strict=True):
        assert one.tokens == other.tokens
        np.testing.assert_allclose(one.log_probabilities, other.log_probabilities, atol=1e-5)
        expected = one.attention["cross"].weights[-1].mean(0)
        np.testing.assert_allclose(other.attention["cross"].weights[0, 0], expected, atol=1e-5)
    assert theirs.score("", "") == pytest.approx(ours.score("", ""), abs=1e-5)


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0, 2.0])
def test_hypotheses_of_beam_search_are_scored_and_sorted_as_ours(ours, theirs, length_penalty):
    options = {"beam_size": 4, "n_best": 3, "length_penalty": length_penalty}
    for one, other in zip(
        ours.translate(SOURCES, **options), theirs.translate(SOURCES, **options), strict=True
    ):
        scores = [hypothesis.score for hypothesis in other.hypotheses]
        assert scores == sorted(scores, reverse=True)
        assert len({hypothesis.tokens for hypothesis in other.hypotheses}) == 3
        for hypothesis in other.hypotheses:
            words = hypothesis.text  # what ours gives the same translation
            forced = ours.force(one.source, words, length_penalty=length_penalty)
            if forced.tokens == hypothesis.tokens:
                assert hypothesis.score == pytest.approx(forced.score, abs=1e-5)


def test_batches_change_nothing_and_order_is_kept(theirs):
    together = theirs.translate(LINES, beam_size=3)
    alone = [theirs.translate(line, beam_size=3) for line in LINES]
    assert [one.tokens for one in together] == [one.tokens for one in alone]
    assert [one.source for one in together] == LINES
    assert together[5].text == together[8].text == ""
    assert (together[5].tokens, together[5].score) == ((), 0.0)


def test_each_sentence_has_its_own_limit(ours, theirs):
    for beam_size in (1, 3):
        for one in theirs.translate(LINES, beam_size=beam_size):
            assert len(one.tokens) - 1 <= 2 * len(one.source_tokens) + 10
    for beam_size in (1, 3):
        options = {"beam_size": beam_size, "max_length": 3, "min_length": 3}
        found = theirs.translate(SOURCES, **options)
        assert [one.tokens for one in found] == [one.tokens for one in ours.translate(SOURCES, **options)]
        assert all(len(one.tokens) == 4 and one.tokens[-1] == "</s>" for one in found)


def test_constraints_reach_it(ours, theirs):
    for options in ({"no_repeat_ngram": 1}, {"no_repeat_ngram": 2}, {"forbid_unknown": True}):
        one = ours.translate(SOURCES, beam_size=1, **options)
        other = theirs.translate(SOURCES, beam_size=1, **options)
        assert [translation.tokens for translation in one] == [translation.tokens for translation in other]


def test_special_tokens_are_never_produced(theirs):
    for one in theirs.translate(SOURCES, sampling=True, n_best=20, temperature=5.0):
        for hypothesis in one.hypotheses:
            assert not {"<pad>", "<s>"} & set(hypothesis.tokens)
            assert hypothesis.tokens.count("</s>") == 1


def test_samples_follow_the_seed_and_the_options(theirs):
    def sampled(**options: object) -> list[tuple[str, ...]]:
        found = theirs.translate(SOURCES, sampling=True, n_best=3, temperature=2.0, **options)
        return [hypothesis.tokens for one in found for hypothesis in one.hypotheses]

    assert sampled(seed=1) == sampled(seed=1)
    assert sampled(seed=1) != sampled(seed=2)
    greedy = [one.tokens for one in theirs.translate(SOURCES, beam_size=1) for _ in range(3)]
    assert sampled(top_k=1) == greedy == sampled(top_p=1e-9, top_k=5)
    assert len(set(sampled(top_k=10_000))) > 4  # more than there are words: all


def test_unknown_words_are_replaced_by_what_was_looked_at(tmp_path):
    model = save_small_transformer(tmp_path / "model")
    export_model(model, "ctranslate2", tmp_path / "out")
    for folder in (model, tmp_path / "out"):
        found = Translator.load(folder).translate(
            "Zyxgrad ran", replace_unknown=True, sampling=True, n_best=50, temperature=3.0, max_length=6
        )
        words = {token for one in found.hypotheses for token in one.tokens}
        assert "<unk>" not in words
        assert {"Zyxgrad", "ran"} & words


def test_it_is_evaluated_like_any_translator(ours, theirs):
    pairs = list(zip(SOURCES, TARGETS, strict=True))
    one, other = (
        evaluate_system(each, pairs, samples=0, decoding={"beam_size": 1}) for each in (ours, theirs)
    )
    assert one.hypotheses == other.hypotheses
    assert other.perplexity == pytest.approx(one.perplexity, rel=1e-4)


def test_too_long_is_an_error_before_anything_is_decoded(directory):
    with pytest.raises(LongSourceError):
        Translator.load(directory, max_source_length=8).translate("cat " * 9)
    with pytest.raises(UserError, match="max_source_length is 3,000; the exported model reads 2,175 tokens"):
        Translator.load(directory, max_source_length=3000)
    with pytest.raises(
        UserError, match="a translation of 5,000 tokens is longer than the exported model can"
    ):
        Translator.load(directory).translate("cat", max_length=5000)


def test_the_engine_has_to_fit_the_directory(model, directory):
    assert Translator.load(directory, engine="ctranslate2").engine.name == "ctranslate2"
    assert Translator.load(model, engine="torch").engine.name == "torch"
    with pytest.raises(UserError, match=r"shisen export .*model --to ctranslate2 --out .*model-ctranslate2"):
        Translator.load(model, engine="ctranslate2")
    with pytest.raises(
        UserError, match="was exported to ctranslate2; the engine torch runs model directories"
    ):
        Translator.load(directory, engine="torch")
    with pytest.raises(UserError, match="unknown engine 'abacus'; choose one of torch, ctranslate2"):
        Translator.load(model, engine="abacus")
    with pytest.raises(UserError, match="the engine ctranslate2 has no PyTorch network"):
        _ = Translator.load(directory).model
    with pytest.raises(UserError, match="there is no device 'abacus' here"):
        Translator.load(directory, device="abacus")


def test_without_the_extra_it_says_so(directory, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ctranslate2", None)
    with pytest.raises(UserError, match=r'pip install "shisen\[ctranslate2\]"'):
        Translator.load(directory)


def swap_tokenizers(directory):
    shutil.copy(directory / "target_tokenizer.json", directory / "source_tokenizer.json")


def swap_vocabularies(directory):
    shutil.copy(directory / "source_vocabulary.json", directory / "target_vocabulary.json")


def lose_vocabulary(directory):
    (directory / "target_vocabulary.json").unlink()


def nest_manifest(directory):
    (directory / "shisen_export.json").write_text("[" * 100_000)


def with_entries(**entries):
    def change(directory):
        path = directory / "shisen_export.json"
        path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | entries))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (swap_tokenizers, r"source_tokenizer\.json and source_vocabulary\.json hold other tokens"),
        (swap_vocabularies, r"target_tokenizer\.json and target_vocabulary\.json hold other tokens"),
        (lose_vocabulary, r"vocabulary\.json cannot be read"),
        (nest_manifest, r"shisen_export\.json is no manifest"),
        (with_entries(config=None), r"\(config is None\): export it again"),
        (with_entries(details=[]), r"\(details is \[\]\)"),
        (with_entries(details={"positions": "many", "attention": {}}), r"\(positions is 'many'\)"),
        (with_entries(details={"positions": 9, "attention": [1]}), r"\(attention is \[1\]\)"),
    ],
)
def test_files_that_do_not_belong_together_are_one_line(directory, tmp_path, change, message):
    damaged = tmp_path / "damaged"
    shutil.copytree(directory, damaged)
    change(damaged)
    with pytest.raises(UserError, match=message):
        Translator.load(damaged)


def test_one_vocabulary_for_both_sides_is_found(tmp_path):
    model = save_small_transformer(tmp_path / "model", is_joint=True)
    export_model(model, "ctranslate2", tmp_path / "out")
    assert (tmp_path / "out/shared_vocabulary.json").is_file()
    assert len(Translator.load(tmp_path / "out").translate(SOURCES)) == len(SOURCES)


@pytest.mark.parametrize("device", ["cuda:x", "cpu:-1", "abacus"])
def test_a_device_that_is_none_is_one_line(directory, device):
    with pytest.raises(UserError, match=f"there is no device '{device}' here"):
        Translator.load(directory, device)
