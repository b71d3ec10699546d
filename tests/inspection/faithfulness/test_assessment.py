"""From texts to a report: what is translated, what is left out, and what is refused."""

import json

import numpy as np
import pytest

from shisen.data.vocabulary import END
from shisen.errors import UserError
from shisen.inspection.faithfulness import (
    FaithfulnessOptions,
    PlantedModel,
    assess_decisions,
    assess_faithfulness,
)
from shisen.inspection.faithfulness.comparisons import COMPARISONS
from shisen.inspection.faithfulness.planted import planted_sentences

OPTIONS = FaithfulnessOptions(
    permutations=4, random_orders=2, integration_steps=2, adversarial_steps=2, samples=1000, longest=12
)


class Numbers:
    """A tokenizer of texts that are ids already."""

    def __init__(self, fingerprint: str = "numbers") -> None:
        self.fingerprint = fingerprint

    def encode_batch(self, texts):
        return [[int(word) for word in text.split()] for text in texts]


class Copyist:
    """A translator with a planted model."""

    def __init__(self, fingerprint: str = "numbers") -> None:
        self.source_tokenizer = self.target_tokenizer = Numbers(fingerprint)
        self.fingerprint = "copyist"
        self.model = PlantedModel(attention_decides=True)


def text_of(ids: list[int]) -> str:
    return " ".join(str(one) for one in ids if one != END)


PAIRS = [(text_of(source), text_of(target)) for source, target in planted_sentences(4)]


def test_pairs_are_read_as_they_are():
    found = assess_faithfulness(Copyist(), PAIRS, OPTIONS)
    expected = assess_decisions(PlantedModel(attention_decides=True), planted_sentences(4), OPTIONS)
    assert found.decisions == 16
    assert (found.model, found.is_own_translation) == ("copyist", False)
    for name, values in expected.measurements.items():
        np.testing.assert_array_equal(found.measurements[name], values, err_msg=name)


def test_texts_are_translated_by_the_model_itself():
    # It copies the marked word until it may not go on: 2 × source tokens + 10, and </s>.
    source = PAIRS[0][0]
    report = assess_faithfulness(Copyist(), [source], FaithfulnessOptions(**vars(OPTIONS) | {"longest": 60}))
    assert report.decisions == 2 * (len(source.split()) + 1) + 11
    assert report.is_own_translation


def test_what_is_too_long_or_too_short_is_left_out_and_counted():
    pairs = [*PAIRS, (" ".join(["20"] * 13), "4"), ("5", "5")]
    report = assess_faithfulness(Copyist(), pairs, OPTIONS)
    assert (report.sentences, report.too_long, report.too_short) == (4, 1, 1)


def test_no_more_sentences_are_looked_at_than_are_asked_for():
    done = []
    options = FaithfulnessOptions(**vars(OPTIONS) | {"sentences": 2})
    report = assess_faithfulness(Copyist(), PAIRS, options, progress=lambda *now: done.append(now))
    assert report.sentences == 2
    assert done == [(1, 2), (2, 2)]


def test_the_same_seed_gives_the_same_numbers():
    first, second = (assess_faithfulness(Copyist(), PAIRS[:2], OPTIONS) for _ in range(2))
    for name, values in first.measurements.items():
        np.testing.assert_array_equal(second.measurements[name], values, err_msg=name)
    assert first.results == second.results


def test_the_same_model_as_another_seed_is_no_distance_away():
    report = assess_faithfulness(Copyist(), PAIRS[:2], OPTIONS, other=Copyist())
    assert report.mean("adversary.weights.seed") == pytest.approx(0, abs=1e-6)
    assert report.result("adversary", "seed").outcome == "too little data"


def test_without_captum_integrated_gradients_are_left_out(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    report = assess_faithfulness(Copyist(), PAIRS[:2], OPTIONS)
    assert not report.has_integrated_gradients
    assert not any("integrated" in name for name in report.measurements)
    assert "integrated" not in {one.rival for one in report.results}


def test_the_end_of_the_sentence_is_ranked_where_it_is_asked_for():
    options = FaithfulnessOptions(**vars(OPTIONS) | {"includes_end": True})
    report = assess_faithfulness(Copyist(), [("5", "5"), *PAIRS[:1]], options)
    assert (report.sentences, report.too_short) == (2, 0)


def test_the_report_is_json():
    document = json.loads(json.dumps(assess_faithfulness(Copyist(), PAIRS, OPTIONS).as_dict()))
    assert document["explanation"] == {
        "attention": "cross",
        "layer": "mean",
        "head": "mean",
        "layers": 1,
        "heads": 1,
    }
    aopc = document["measurements"]["comprehensiveness"]["aopc"]["attention"]
    assert aopc["low"] <= aopc["mean"] <= aopc["high"]
    assert len(document["tests"]) == len(COMPARISONS) - 1  # all but the one that needs another seed
    assert set(document["verdict"]) == {"en", "ja"}


@pytest.mark.parametrize(
    ("pairs", "changed", "message"),
    [
        ([], {}, "there is no sentence of 12 tokens or fewer to test"),
        ([("5", "5")], {}, "no sentence has two source tokens or more"),
        (PAIRS, {"layer": 1}, "layer is 1; the model has 1, counted from 0"),
        (PAIRS, {"head": 3}, "head is 3; the model has 1, counted from 0"),
    ],
)
def test_what_cannot_be_tested_is_refused(pairs, changed, message):
    with pytest.raises(UserError, match=message):
        assess_faithfulness(Copyist(), pairs, FaithfulnessOptions(**vars(OPTIONS) | changed))


def test_models_of_other_vocabularies_are_refused():
    with pytest.raises(UserError, match="the two models do not have the same source tokenizer"):
        assess_faithfulness(Copyist(), PAIRS, OPTIONS, other=Copyist("others"))
