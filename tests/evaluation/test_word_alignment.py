"""Aligning words by a model: what is read, how it is chosen, and the command that does it."""

import json
from pathlib import Path

import numpy as np
import pytest

from shisen import Translator
from shisen.cli.main import main
from shisen.data.alignments import Alignment, read_alignments
from shisen.errors import UserError
from shisen.evaluation.alignment import NO_ALIGNMENTS, score_alignment
from shisen.evaluation.alignment_choice import (
    Pair,
    Reading,
    all_readings,
    choose_reading,
    reading_from_dict,
)
from shisen.evaluation.ibm_model import fit_both_ways, words_of
from shisen.evaluation.word_alignment import ModelAligner, choose_by_gold, choose_by_ibm
from shisen.inspection import AttentionMap
from shisen.inspection.attribution_alignment import attribution_maps
from small_model import SOURCES, TARGETS, save_small_model, save_small_transformer

PAIRS = list(zip(SOURCES, TARGETS, strict=True))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_transformer(tmp_path_factory.mktemp("transformer"))


@pytest.fixture(scope="module")
def translator(model: Path) -> Translator:
    return Translator.load(model)


def planted(good: Reading, seed: int) -> tuple[Pair, Alignment]:
    """A pair of five words whose map is right in one reading and random elsewhere."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(5)
    right = np.vstack([np.eye(6)[order], np.eye(6)[5]])  # the end looks at the end
    weights = generator.dirichlet(np.ones(6), (2, 3, 6))
    if good.is_shifted:
        right = np.vstack([generator.dirichlet(np.ones(6)), right[:-1]])
    weights[good.layer, good.head] = 0.7 * right + 0.3 / 6
    attention = AttentionMap.from_arrays(weights, [*"abcde", "</s>"], [*"vwxyz", "</s>"])
    words = [*((number,) for number in range(5)), ()]
    gold = Alignment(frozenset((int(source), target) for target, source in enumerate(order)))
    return Pair(attention, words, words, 5, 5), gold


@pytest.mark.parametrize("good", [Reading(1, 2), Reading(0, 1, True), Reading(0, 0)])
def test_the_reading_that_is_right_is_chosen_and_said(good: Reading) -> None:
    choice = choose_reading([planted(good, seed) for seed in range(8)])
    assert choice.reading == good
    assert choice.sentences == 8
    assert choice.candidates[0][1].error_rate == 0
    assert len(choice.candidates) == len(all_readings(2, 3)) == 2 * (1 + 2 + 6)
    errors = [scores.error_rate for _, scores in choice.candidates]
    assert errors == sorted(errors)
    assert f"layer {good.layer}, head {good.head}" in str(choice)
    assert "18 readings" in str(choice)
    assert reading_from_dict(json.loads(json.dumps(choice.as_dict()))) == good


def test_of_equal_readings_the_simplest_is_taken() -> None:
    pair, gold = planted(Reading(0, 0), 1)
    same = AttentionMap.from_arrays(
        np.broadcast_to(pair.attention.weights[:1, :1], (2, 3, 6, 6)), list("abcdef"), list("uvwxyz")
    )
    assert choose_reading([(pair._replace(attention=same), gold)]).reading == Reading()


def test_readings_are_means_of_what_they_name() -> None:
    attention = planted(Reading(0, 0), 3)[0].attention
    weights = attention.weights
    assert Reading().weights(attention) == pytest.approx(weights.mean((0, 1)), abs=1e-6)
    assert Reading(1).weights(attention) == pytest.approx(weights[1].mean(0), abs=1e-6)
    shifted = Reading(1, 0, True).weights(attention)
    assert np.array_equal(shifted[:-1], weights[1, 0, 1:])
    assert not shifted[-1].any()
    with pytest.raises(UserError, match="layer"):
        Reading(7).weights(attention)


def test_a_choice_needs_sentences_of_one_model() -> None:
    with pytest.raises(UserError, match="no held-out sentences"):
        choose_reading([])
    pair, gold = planted(Reading(0, 0), 0)
    other = pair._replace(attention=pair.attention.layer(0))
    with pytest.raises(UserError, match=r"of \(2, 3\) and of \(1, 3\) layers"):
        choose_reading([(pair, gold), (other, gold)])
    for entries, message in (
        ({}, "entry reading"),
        ({"reading": {"layer": -1, "head": None, "is_shifted": False}}, "from 0 on, or null, not -1"),
        ({"reading": {"layer": True, "head": None, "is_shifted": False}}, "not True"),
        ({"reading": {"layer": 0, "head": 0, "is_shifted": 1}}, "true or false"),
    ):
        with pytest.raises(UserError, match=message):
            reading_from_dict(entries)


def test_the_choice_by_gold_is_that_of_every_map_by_hand(translator: Translator) -> None:
    gold = [Alignment(frozenset({(0, 0), (1, 1)})) for _ in PAIRS]
    choice = choose_by_gold(translator, PAIRS, gold)
    for reading, scores in choice.candidates:
        total = NO_ALIGNMENTS
        for links, wanted in zip(
            ModelAligner(translator, reading=reading).align(SOURCES, TARGETS), gold, strict=True
        ):
            total += score_alignment(links, wanted.sure)
        assert total == scores
    ibm = fit_both_ways([(words_of(source), words_of(target)) for source, target in PAIRS])
    assert choose_by_ibm(translator, PAIRS, ibm).criterion == "ibm1"


def test_links_follow_the_attention_between_words(translator: Translator) -> None:
    for (source, target), pair in zip(PAIRS, ModelAligner(translator).pairs(SOURCES, TARGETS), strict=True):
        forced = translator.force(source, target).attention["cross"]
        expected = forced.weights[:, :, :-1, :-1].mean((0, 1))  # each word is a token here
        assert pair.words(Reading()) == pytest.approx(expected, abs=1e-6)
    aligner = ModelAligner(translator, extraction="matching")
    for links in aligner.align(SOURCES, TARGETS):
        assert len({source for source, _ in links}) == len({target for _, target in links}) == len(links)
    with pytest.raises(UserError, match="links are made by"):
        list(ModelAligner(translator, extraction="best").align(SOURCES, TARGETS))


@pytest.mark.parametrize("attribution", ["gradient", "gradient_input"])
def test_attribution_is_the_finite_difference_of_the_embedding(tmp_path: Path, attribution: str) -> None:
    import torch

    from shisen.inspection.faithfulness.forward import embedded_as, source_embedding

    translator = Translator.load(save_small_model(tmp_path / "model", attention="bahdanau"))
    translator.model.double()
    source, target = PAIRS[1]
    [found] = attribution_maps(translator, [source], [target], attribution)
    assert found.row_sums == pytest.approx(1, abs=1e-5)
    assert found.query_tokens[-1] == found.key_tokens[-1] == "</s>"
    ids = torch.tensor([[*translator.source_tokenizer.encode(source), 3]])
    assert translator.source_tokenizer.tokens(ids[0].tolist())[-1] == "</s>"
    embedding = source_embedding(translator.model)
    words = embedding(ids).detach()

    def scores(moved: torch.Tensor) -> np.ndarray:
        with embedded_as(embedding, moved):
            return np.array(translator.force(source, target, attention=False).log_probabilities)

    expected = np.zeros(found.weights.shape[2:])
    step = 1e-3
    for key in range(words.shape[1]):
        changes = []
        for feature in range(words.shape[2]):
            up, down = words.clone(), words.clone()
            up[0, key, feature] += step
            down[0, key, feature] -= step
            changes.append((scores(up) - scores(down)) / (2 * step))
        gradient = np.array(changes)  # [features, steps]
        values = words[0, key].numpy()[:, None]
        by_key = (
            np.linalg.norm(gradient, axis=0)
            if attribution == "gradient"
            else np.abs((gradient * values).sum(0))
        )
        expected[:, key] = by_key
    expected /= expected.sum(axis=1, keepdims=True)
    assert found.weights[0, 0] == pytest.approx(expected, abs=2e-2)


def test_an_unknown_attribution_is_refused(translator: Translator) -> None:
    with pytest.raises(UserError, match="one of gradient, gradient_input"):
        next(attribution_maps(translator, SOURCES, TARGETS, "lime"))


# ------------------------------------------------------------------ the command


@pytest.fixture
def folder(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "test.tsv").write_text(
        "".join(f"{source}\t{target}\n" for source, target in PAIRS), encoding="utf-8"
    )
    (tmp_path / "gold").write_text("0-0 1-1\n" * len(PAIRS), encoding="utf-8")
    (tmp_path / "model").symlink_to(model)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["align", "model", "--data", "test.tsv", *arguments])
    return int(end.value.code or 0)


def test_the_command_writes_what_the_library_says(
    folder: Path, translator: Translator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--layer", "1", "--head", "2", "--out", "links", "--gold", "gold") == 0
    expected = list(ModelAligner(translator, reading=Reading(1, 2)).align(SOURCES, TARGETS))
    assert [one.sure for one in read_alignments(folder / "links")] == expected
    scores = NO_ALIGNMENTS
    for links in expected:
        scores += score_alignment(links, {(0, 0), (1, 1)})
    assert f"AER {scores.error_rate:.4f}" in capsys.readouterr().err
    assert run("--method", "attribution") == 0
    lines = capsys.readouterr().out.splitlines()
    by_gradient = ModelAligner(translator, "attribution").align(SOURCES, TARGETS)
    assert [{tuple(map(int, link.split("-"))) for link in line.split()} for line in lines] == list(
        map(set, by_gradient)
    )


def test_what_was_chosen_is_said_saved_and_read_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ["--held-out", "test.tsv", "--held-out-gold", "gold"]
    assert run(*chosen, "--save-choice", "choice.json", "--out", "first") == 0
    assert "against gold alignments on 4 held-out sentences" in capsys.readouterr().err
    assert run("--choice", "choice.json", "--out", "second") == 0
    assert (folder / "first").read_text() == (folder / "second").read_text()
    assert run("--out", "third") == 0
    assert "against IBM model 1 on 4 held-out sentences" in capsys.readouterr().err


def test_a_model_and_its_reverse_are_joined(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Of one language into itself, so that one model is its own reverse.
    text = "the cat sat on the mat .\t猫 が マット に 座っ た 。\n"
    (folder / "test.tsv").write_text(text, encoding="utf-8")
    for method, least in (("intersection", 0), ("union", 1)):
        assert run("--layer", "0", "--reverse-model", "model", "--symmetrize", method, "--quiet") == 0
        assert len(capsys.readouterr().out.split()) >= least
    assert run("--method", "ibm1", "--symmetrize", "intersection") == 0
    assert capsys.readouterr().out.split()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "giza"], "--method is one of attention, attribution, ibm1, not 'giza'"),
        (["--extract", "best"], "--extract is one of"),
        (["--symmetrize", "both"], "--symmetrize is one of"),
        (["--layer", "9"], "layer"),
        (["--held-out", "test.tsv"], "go together"),
        (["--layer", "0", "--choice", "gold"], "only one"),
        (["--method", "ibm1", "--head", "0"], "are for attention, not for ibm1"),
        (["--choice", "nowhere"], "nowhere: cannot be read"),
        (["--choice", "gold"], "gold is no JSON"),
        (["--one-based"], "--one-based is about gold alignments"),
        (["--gold", "nowhere"], "nowhere: cannot be read"),
        (["--extract", "threshold", "--threshold", "0"], "threshold"),
        (["--out", "."], "is a directory"),
    ],
)
def test_wrong_options_are_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_pair_brings_the_probability_of_every_word(translator: Translator) -> None:
    for (source, target), pair in zip(PAIRS, ModelAligner(translator).pairs(SOURCES, TARGETS), strict=True):
        forced = translator.force(source, target)  # each word is a token here
        assert pair.probabilities == pytest.approx(np.exp(forced.log_probabilities[:-1]), abs=1e-6)
    [by_gradient, *_] = ModelAligner(translator, "attribution").pairs(SOURCES, TARGETS)
    assert by_gradient.probabilities is None
