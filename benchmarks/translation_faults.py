"""Are translation faults found by attention? Gold pairs with words dropped or repeated on purpose.

    shisen corpus generate --pairs 20800 --seed 1 --min-words 4 --max-words 12 --validation-pairs 300 \
        --test-pairs 500 --out corpus
    python benchmarks/translation_faults.py --corpus corpus --model Bahdanau=MODEL_DIR \
        --model Transformer=MODEL_DIR

What each source word receives, and the thresholds, are learnt on the validation pairs. Every test pair is
then looked at three times: as it is, without the target words of one source word, and with these words
twice; gold alignments say which they are. A fault counts as found if that source word is marked. The layer
and head of a model are those with the lowest alignment error on the validation pairs.
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from shisen import Translator
from shisen.data.alignments import Alignment, read_alignments
from shisen.data.lines import read_lines
from shisen.evaluation.ibm_model import IbmModel, fit_ibm_model, words_of
from shisen.evaluation.word_alignment import ModelAligner, choose_by_gold
from shisen.inspection.faults import FaultFinder, TranslationFaults, counted, followed, learn_faults

Pairs = list[tuple[str, str]]
WeightsOf = Callable[[Pairs], list[np.ndarray]]


def main() -> None:
    """Print the table."""
    options = _options()
    generator = np.random.default_rng(options.seed)
    validation, gold = _read(options.corpus, "validation")
    test, test_gold = _read(options.corpus, "test")
    test, test_gold = test[: options.pairs], test_gold[: options.pairs]
    dropped, repeated, words = _corrupted(test, test_gold, generator)
    sides = [(pair, word) for pair, word in zip(test, words, strict=True) if word is not None]
    kept = [pair for pair, _ in sides]
    meant = [word for _, word in sides if word is not None]
    broken = {"dropped": [one for one in dropped if one], "repeated": [one for one in repeated if one]}
    print(f"{len(meant)} test pairs have a word to drop; {len(validation)} pairs to learn from")
    print("| coverage by | fault | word found: precision | recall | F1 | sentence: area under the curve |")
    print("|---|---|---:|---:|---:|---:|")
    for name, weights_of, said in _coverages(options, validation, gold):
        _model_rows(f"{name}{said}", weights_of, validation, kept, broken, meant)
    for fault, pairs in broken.items():
        sign = -1 if fault == "dropped" else 1
        ratios = [
            [sign * len(target.split()) / len(source.split()) for source, target in part]
            for part in (pairs, kept)
        ]
        print(f"| length ratio | {fault} | | | | {_area(*ratios):.3f} |")


def _model_rows(
    name: str,
    weights_of: WeightsOf,
    validation: Pairs,
    kept: Pairs,
    broken: dict[str, Pairs],
    meant: list[int],
) -> None:
    """What one kind of weights finds."""
    finder = learn_faults(
        (weights, words_of(source))
        for weights, (source, _) in zip(weights_of(validation), validation, strict=True)
    )
    sound = _faults(finder, weights_of(kept), kept)
    for fault, pairs in broken.items():
        found = _faults(finder, weights_of(pairs), pairs)
        is_under = fault == "dropped"
        marks, alarms = ([_marked(one, is_under) for one in each] for each in (found, sound))
        right = sum(word in marked for word, marked in zip(meant, marks, strict=True))
        precision = right / max(1, sum(map(len, marks)) + sum(map(len, alarms)))
        recall = right / len(meant)
        scores = [
            [one.under_score if is_under else one.over_score for one in each] for each in (found, sound)
        ]
        f1 = 2 * precision * recall / max(1e-9, precision + recall)
        numbers = (precision, recall, f1, _area(*scores))
        print(f"| {name} | {fault} | " + " | ".join(f"{one:.3f}" for one in numbers) + " |", flush=True)


def _marked(faults: TranslationFaults, is_under: bool) -> set[int]:
    """The source words that are marked: as forgotten, or as said too much or twice."""
    return set(faults.under) if is_under else {*faults.over, *(one.source for one in faults.repetitions)}


def _coverages(
    options: argparse.Namespace, validation: Pairs, gold: Sequence[Alignment]
) -> list[tuple[str, WeightsOf, str]]:
    """What gives weights between words: models, and IBM model 1."""
    found: list[tuple[str, WeightsOf, str]] = []
    for name, folder in (one.split("=", 1) for one in options.model):
        translator = Translator.load(folder)
        reading = choose_by_gold(translator, validation, gold).reading
        aligner = ModelAligner(translator, reading=reading)

        def weights_of(
            pairs: Pairs, aligner: ModelAligner = aligner, is_followed: bool = False
        ) -> list[np.ndarray]:
            sources, targets = [source for source, _ in pairs], [target for _, target in pairs]
            return [
                followed(pair.words(aligner.reading), pair.probabilities)
                if is_followed and pair.probabilities is not None
                else pair.words(aligner.reading)
                for pair in aligner.pairs(sources, targets)
            ]

        found.append((name, weights_of, f": {reading}"))
        found.append((name, partial(weights_of, is_followed=True), ": the same, times the probability"))
    train, _ = _read(options.corpus, "train")
    model = fit_ibm_model([(words_of(source), words_of(target)) for source, target in train])
    found.append(("IBM model 1", lambda pairs: [_posterior(model, pair) for pair in pairs], ""))
    return found


def _posterior(model: IbmModel, pair: tuple[str, str]) -> np.ndarray:
    return model.posterior(*map(words_of, pair))[:, :-1]


def _faults(finder: FaultFinder, weights: list[np.ndarray], pairs: Pairs) -> list[TranslationFaults]:
    return [
        finder.find(one, words_of(source), words_of(target))
        for one, (source, target) in zip(weights, pairs, strict=True)
    ]


def _corrupted(
    pairs: Pairs, gold: Sequence[Alignment], generator: np.random.Generator
) -> tuple[list, list, list[int | None]]:
    """Every pair without the target words of one source word, and with them twice, and that word."""
    dropped, repeated, words = [], [], []
    for (source, target), alignment in zip(pairs, gold, strict=True):
        targets = target.split()
        is_counted = counted(source.split())
        choices = []
        for word in range(len(is_counted)):
            linked = sorted(place for one, place in alignment.sure if one == word)
            others = {place for one, place in alignment.sure if one != word}
            is_span = bool(linked) and linked == list(range(linked[0], linked[-1] + 1))
            if is_counted[word] and is_span and not others & set(linked) and len(linked) < len(targets):
                choices.append((word, linked))
        if not choices:
            dropped.append(None)
            repeated.append(None)
            words.append(None)
            continue
        word, linked = choices[generator.integers(len(choices))]
        begin, end = linked[0], linked[-1] + 1
        dropped.append((source, " ".join(targets[:begin] + targets[end:])))
        repeated.append((source, " ".join(targets[:end] + targets[begin:])))
        words.append(word)
    return dropped, repeated, words


def _area(positive: list[float], negative: list[float]) -> float:
    """The probability that a faulty sentence scores higher than a sound one."""
    one, other = np.array(positive)[:, None], np.array(negative)
    return float((one > other).mean() + (one == other).mean() / 2)


def _read(corpus: Path, split: str) -> tuple[Pairs, list[Alignment]]:
    sides = [read_lines(corpus / f"{split}.{language}") for language in ("en", "ja")]
    return list(zip(*sides, strict=True)), read_alignments(corpus / f"{split}.align")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", action="append", required=True, metavar="NAME=MODEL_DIR")
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
