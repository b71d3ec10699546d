"""A model on a test set: what is translated and read, what is compared, what is refused, what is recorded."""

import math
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

from shisen.data.alignments import Alignment
from shisen.errors import UserError
from shisen.evaluation import system
from shisen.evaluation.system import attended_links, check_gold, data_fingerprint, evaluate_system
from shisen.inspection.attention_map import AttentionMap

PAIRS = [("a b", "B A"), ("c d e", "E D C"), ("f", "F"), ("a  c", "C A")]
GOLD = [Alignment(frozenset((i, len(s.split()) - 1 - i) for i in range(len(s.split())))) for s, _ in PAIRS]


class FakeTokenizer:
    """Words between blanks, or (with `marks_spaces`) their characters."""

    def __init__(self, marks_spaces: bool = False):
        self.settings = SimpleNamespace(marks_spaces=marks_spaces)

    def surfaces(self, text: str) -> list[str]:
        if not self.settings.marks_spaces:
            return text.split()
        return [c if i else "▁" + c for word in text.split() for i, c in enumerate(word)]


@dataclass
class FakeTranslation:
    tokens: tuple[str, ...]
    text: str
    log_probabilities: tuple[float, ...]
    attention: dict[str, AttentionMap]


@dataclass
class FakeTranslator:
    """Reverses a sentence and shouts; its attention looks where it reads; every token has probability 1/4."""

    marks_spaces: bool = False
    chunks: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    longest: int = 100
    options: dict = field(default_factory=dict)
    fingerprint: str = "0123456789abcdef"
    generation_config: dict = field(default_factory=lambda: {"beam_size": 5, "length_penalty": 1.0})

    def __post_init__(self):
        self.source_tokenizer = self.target_tokenizer = FakeTokenizer(self.marks_spaces)

    def translate(self, text, **options):
        self.chunks.append(len(text))
        self.options = options
        targets = [" ".join(reversed(source.upper().split())) for source in text]
        return [self._read(*pair) for pair in zip(text, targets, strict=True)]

    def check_lengths(self, sources, translations=()):
        for text in (*sources, *translations):
            if len(text.split()) > self.longest:
                raise UserError(f"too long: {text}")

    def force(self, source, translation, batch_size=100, attention=True, first_number=0):
        self.numbers.append(first_number)
        return [self._read(*pair) for pair in zip(source, translation, strict=True)]

    def _read(self, source, target):
        keys = (*self.source_tokenizer.surfaces(source), "</s>")
        queries = (*self.target_tokenizer.surfaces(target), "</s>")
        weights = np.full((len(queries), len(keys)), 0.01, dtype=np.float32)
        for row in range(len(queries) - 1):
            weights[row, len(queries) - 2 - row] = 0.9
        weights[-1, -1] = 0.9
        weights[:, -1] += 1.5  # the end of the source is looked at most of all: no word, no link
        attention = AttentionMap.from_arrays(weights, queries, keys)
        logs = (math.log(1 / 4),) * len(queries)
        return FakeTranslation(queries, "".join(target.split()), logs, {"cross": attention})


def test_a_perfect_model_scores_as_one_and_each_number_is_its_definition():
    evaluation = evaluate_system(FakeTranslator(), PAIRS, GOLD, samples=20)
    assert evaluation.hypotheses == ("B A", "E D C", "F", "C A")
    assert evaluation.scores.chrf.value == pytest.approx(100)
    assert evaluation.scores.ter.value == 0
    assert evaluation.scores.length_ratio == 1
    assert evaluation.perplexity == pytest.approx(4)  # each token, and each end, has probability 1/4
    assert evaluation.alignment.error_rate == 0
    assert evaluation.alignment.predicted == 8


def test_gold_alignments_that_disagree_raise_the_error_rate_by_the_formula():
    wrong = [Alignment(frozenset({(0, 0)})), *GOLD[1:]]  # of the pair's two links one is there, elsewhere
    evaluation = evaluate_system(FakeTranslator(), PAIRS, wrong, samples=0)
    assert evaluation.alignment.error_rate == pytest.approx(1 - (6 + 6) / (8 + 7))


def test_words_between_blanks_are_compared_as_tokens_and_pieces_as_text():
    words = evaluate_system(FakeTranslator(), PAIRS, samples=0)
    pieces = evaluate_system(FakeTranslator(marks_spaces=True), PAIRS, samples=0)
    assert words.hypotheses[0] == "B A"
    assert pieces.hypotheses[0] == "BA"
    assert words.provenance["settings"]["tokenize"] == "none"
    assert "tok:none" in words.scores.bleu.signature
    assert "tok:13a" in pieces.scores.bleu.signature


def test_the_options_of_decoding_reach_the_translator_and_the_record():
    translator = FakeTranslator()
    evaluation = evaluate_system(translator, PAIRS, samples=0, batch_size=7, decoding={"beam_size": 3})
    assert translator.options == {"batch_size": 7, "beam_size": 3, "attention": False, "first_number": 0}
    assert evaluation.provenance["settings"]["decoding"] == {"beam_size": 3, "length_penalty": 1.0}
    assert evaluation.provenance["model_fingerprint"] == "0123456789abcdef"
    assert evaluation.provenance["data_fingerprint"] == data_fingerprint(PAIRS)
    assert set(evaluation.provenance["versions"]) >= {"shisen", "torch", "sacrebleu", "python"}
    assert "alignment" not in evaluation.as_dict()


def test_a_large_test_set_goes_through_in_chunks_and_gives_the_same(monkeypatch):
    whole = evaluate_system(FakeTranslator(), PAIRS, GOLD, samples=10)
    monkeypatch.setattr(system, "CHUNK", 3)
    translator, steps = FakeTranslator(), []
    chunked = evaluate_system(translator, PAIRS, GOLD, samples=10, on_progress=steps.append)
    assert translator.chunks == [3, 1]
    assert translator.numbers == [0, 3]  # errors count through the whole test set
    assert sum(steps) == 2 * len(PAIRS)
    assert chunked == whole


def test_attention_between_pieces_becomes_links_between_words():
    translator = FakeTranslator(marks_spaces=True)
    # "ab c" <- "x yz": the pieces of yz look at a and b, x at c; the ends look at the end.
    weights = np.array([[0.1, 0.1, 0.7, 0.1], [0.4, 0.3, 0.3, 0], [0.2, 0.4, 0.4, 0], [0, 0, 0, 1]])
    attention = AttentionMap.from_arrays(weights, ["▁x", "▁y", "z", "</s>"], ["▁a", "b", "▁c", "</s>"])
    assert attended_links(translator, "ab c", "x yz", attention) == {(1, 0), (0, 1)}
    assert attended_links(translator, "ab c", "x yz", attention, threshold=0.3) == {(1, 0), (0, 1), (1, 1)}


def test_attention_of_another_sentence_is_refused():
    attention = AttentionMap.from_arrays(np.ones((2, 2)) / 2, ["x", "</s>"], ["a", "</s>"])
    with pytest.raises(UserError, match="2 rows and 2 columns, but the pair has 2 and 3 tokens"):
        attended_links(FakeTranslator(), "a b", "x", attention)


def test_a_model_without_attention_aligns_nothing():
    attention = AttentionMap.from_arrays(np.zeros((2, 3)), ["x", "</s>"], ["a", "b", "</s>"])
    assert attended_links(FakeTranslator(), "a b", "x", attention) == frozenset()


def test_gold_alignments_of_other_data_are_refused_before_any_decoding():
    translator = FakeTranslator()
    with pytest.raises(UserError, match=r"gold\.txt has 3 lines, but the data have 4 sentence pairs"):
        evaluate_system(translator, PAIRS, GOLD[:3], gold_name="gold.txt")
    outside = [*GOLD[:2], Alignment(frozenset({(1, 0)})), GOLD[3]]
    with pytest.raises(UserError, match=r"gold\.txt, line 3: .*source word 1 .* has 1 words.*--one-based"):
        evaluate_system(translator, PAIRS, outside, gold_name="gold.txt")
    assert translator.chunks == []
    check_gold(GOLD, PAIRS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokenize": "13b"}, "unknown tokenisation '13b'"),
        ({"gold": GOLD, "threshold": 0.0}, r"above 0 and at most at 1; this is 0\.0"),
        ({"gold": GOLD, "threshold": math.nan}, "this is nan"),
    ],
)
def test_bad_options_are_refused_before_any_decoding(options, message):
    translator = FakeTranslator()
    with pytest.raises(UserError, match=message):
        evaluate_system(translator, PAIRS, **options)
    assert translator.chunks == translator.numbers == []


@pytest.mark.parametrize("pair", [("g h i j", "G"), ("g", "J I H G")], ids=["source", "reference"])
def test_a_sentence_too_long_is_refused_before_any_decoding(pair):
    translator = FakeTranslator(longest=3)
    with pytest.raises(UserError, match="too long: "):
        evaluate_system(translator, [*PAIRS, pair])
    assert translator.chunks == translator.numbers == []


def test_a_possible_link_outside_the_target_is_found_too():
    with pytest.raises(UserError, match="target word 5"):
        check_gold([Alignment(frozenset(), frozenset({(0, 5)}))], PAIRS[:1])


def test_no_data_is_nothing_to_evaluate():
    with pytest.raises(UserError, match="no sentence pair"):
        evaluate_system(FakeTranslator(), [])


def test_the_fingerprint_is_that_of_the_sentences():
    assert data_fingerprint(PAIRS) == data_fingerprint(list(PAIRS))
    assert data_fingerprint(PAIRS) != data_fingerprint(PAIRS[::-1])
    assert data_fingerprint([("a", "b c")]) != data_fingerprint([("a b", "c")])
