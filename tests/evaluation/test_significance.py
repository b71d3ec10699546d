"""The paired tests give sacrebleu's numbers, and say what a test of significance should."""

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.significance import PairedTest

from shisen.errors import UserError
from shisen.evaluation.significance import compare

TEXT = "the cat sat on a mat and he saw it with her old red hat today"
WORDS = TEXT.split()


def _corpus(seed: int, sentences: int = 45):
    generator = np.random.default_rng(seed)
    return [list(generator.choice(WORDS, size=generator.integers(4, 12))) for _ in range(sentences)]


def _damaged(sentences, share: float, seed: int) -> list[str]:
    """The sentences with a share of their words replaced."""
    generator = np.random.default_rng(seed)
    return [
        " ".join(str(generator.choice(WORDS)) if generator.random() < share else word for word in sentence)
        for sentence in sentences
    ]


SENTENCES = _corpus(0)
REFERENCES = [" ".join(sentence) for sentence in SENTENCES]
SYSTEMS = [
    ("baseline", _damaged(SENTENCES, 0.3, 1)),
    ("worse", _damaged(SENTENCES, 0.6, 2)),
    ("alike", _damaged(SENTENCES, 0.3, 3)),
]


@pytest.mark.parametrize(("test", "theirs", "draws"), [("bootstrap", "bs", 300), ("randomisation", "ar", 75)])
def test_p_values_and_scores_are_those_of_sacrebleu(test, theirs, draws):
    metrics = {"BLEU": BLEU(tokenize="none"), "chrF2": CHRF(), "TER": TER()}
    _, expected = PairedTest(SYSTEMS, metrics, [REFERENCES], test_type=theirs, n_samples=draws)()
    ours = compare(SYSTEMS, REFERENCES, test=test, draws=draws, tokenize="none")
    for index, name in enumerate(metrics):
        for comparison, result in zip(ours, expected[name], strict=True):
            assert comparison.scores[index].value == pytest.approx(result.score)
            if result.p_value is not None:
                assert comparison.p_values[index] == pytest.approx(result.p_value)


@pytest.mark.parametrize("test", ["bootstrap", "randomisation"])
def test_a_much_worse_system_is_found_and_an_equal_one_is_not(test):
    _, worse, alike = compare(SYSTEMS, REFERENCES, test=test, draws=200, tokenize="none")
    assert worse.differences[0] < 0 < worse.differences[2]  # less BLEU, more TER
    assert max(worse.p_values) < 0.05
    assert min(alike.p_values) > 0.05


@pytest.mark.parametrize("test", ["bootstrap", "randomisation"])
def test_a_system_against_itself_differs_in_nothing(test):
    twice = [("a", SYSTEMS[0][1]), ("b", SYSTEMS[0][1])]
    same = compare(twice, REFERENCES, test=test, draws=64)[1]
    assert same.differences == (0.0, 0.0, 0.0)
    assert same.p_values == (1.0, 1.0, 1.0)  # sacrebleu: 1 / 65


def test_the_signature_names_test_draws_and_seed():
    comparisons = compare(SYSTEMS, REFERENCES, test="randomisation", draws=33, seed=7)
    assert "ar:33" in comparisons[1].scores[0].signature
    assert "seed:7" in comparisons[1].scores[0].signature
    assert comparisons[0].p_values == ()
    assert "p_value" not in comparisons[0].as_dict()["bleu"]
    assert comparisons[1].as_dict()["bleu"]["p_value"] == comparisons[1].p_values[0]


def test_wrong_input_is_named():
    with pytest.raises(UserError, match="two systems or more"):
        compare(SYSTEMS[:1], REFERENCES)
    with pytest.raises(UserError, match="short has 2 lines, but the references have 45"):
        compare([SYSTEMS[0], ("short", ["a", "b"])], REFERENCES)
    with pytest.raises(UserError, match="unknown test 'sign'; there are bootstrap and randomisation"):
        compare(SYSTEMS, REFERENCES, test="sign")
