"""The alignment error rate of attention, of what may do better, and of a statistical aligner, in one table.

    shisen corpus generate --pairs 20800 --seed 1 --min-words 4 --max-words 12 --validation-pairs 300 \
        --test-pairs 500 --out corpus
    python benchmarks/alignment_error.py --model transformer=MODEL_DIR --reverse transformer=MODEL_DIR_BACK \
        --source corpus/test.en --target corpus/test.ja --gold corpus/test.align --learn corpus/train.en \
        --learn corpus/train.ja

The first pairs (--held-out) choose the layer and head of each model, the others are the test. IBM model 1
learns on --learn and the pairs of the test themselves, without their gold.
"""

import argparse
from pathlib import Path
from typing import Any

from shisen import Translator
from shisen.data.alignments import Alignment, read_alignments
from shisen.data.lines import read_lines
from shisen.evaluation.alignment import NO_ALIGNMENTS, score_alignment
from shisen.evaluation.ibm_model import fit_both_ways, words_of
from shisen.evaluation.word_alignment import ModelAligner, choose_by_gold, choose_by_ibm
from shisen.inspection.alignment import flipped
from shisen.inspection.symmetrization import symmetrize


def main() -> None:
    """Print the table."""
    options = _options()
    gold = read_alignments(options.gold, options.one_based)
    if options.reverse_gold:
        gold = [_flipped(one) for one in gold]
    pairs = list(zip(read_lines(options.source), read_lines(options.target), strict=True))
    held, held_gold = pairs[: options.held_out], gold[: options.held_out]
    test, test_gold = pairs[options.held_out :], gold[options.held_out :]
    learn = list(zip(*map(read_lines, options.learn), strict=True)) if options.learn else []
    ibm = fit_both_ways([(words_of(one), words_of(other)) for one, other in [*learn, *pairs]])
    print(f"{len(test)} test pairs, {len(held)} held out; IBM model 1 learnt on {len(learn) + len(pairs):,}")
    print("| aligner | reading | AER | precision | recall | F1 |")
    print("|---|---|---:|---:|---:|---:|")
    sides = [source for source, _ in test], [target for _, target in test]
    back = dict(one.split("=", 1) for one in options.reverse)
    for name, folder in (one.split("=", 1) for one in options.model):
        translator = Translator.load(folder)
        chosen = choose_by_gold(translator, held, held_gold)
        shifted = next(reading for reading, _ in chosen.candidates if reading.is_shifted)
        by_ibm = choose_by_ibm(translator, held, ibm)
        for what, reading in (
            ("mean of all heads", ModelAligner(translator).reading),
            ("best, by held-out gold", chosen.reading),
            ("best, by IBM model 1", by_ibm.reading),
            ("shifted, best by held-out gold", shifted),
        ):
            found = ModelAligner(translator, reading=reading).align(*sides)
            _row(f"{name}: attention, {what}", str(reading), found, test_gold)
        found = ModelAligner(translator, "attribution").align(*sides)
        _row(f"{name}: attribution (gradient)", "", found, test_gold)
        if name in back:
            reverse = Translator.load(back[name])
            turned = [(target, source) for source, target in held]
            other = choose_by_gold(reverse, turned, [_flipped(one) for one in held_gold])
            there = ModelAligner(translator, reading=chosen.reading).align(*sides)
            home = ModelAligner(reverse, reading=other.reading).align(*reversed(sides))
            joined = [symmetrize(one, flipped(two)) for one, two in zip(there, home, strict=True)]
            _row(f"{name}: attention both ways, grow-diag-final-and", str(other.reading), joined, test_gold)
    words = [(words_of(source), words_of(target)) for source, target in test]
    _row("IBM model 1", "", [ibm.forward.align(*pair) for pair in words], test_gold)
    _row("IBM model 1 both ways, grow-diag-final-and", "", [ibm.align(*pair) for pair in words], test_gold)


def _row(name: str, reading: str, found: Any, gold: list[Alignment]) -> None:
    scores = NO_ALIGNMENTS
    for links, wanted in zip(found, gold, strict=True):
        scores += score_alignment(links, wanted.sure, wanted.possible)
    numbers = (scores.error_rate, scores.precision, scores.recall, scores.f_measure())
    print(f"| {name} | {reading} | " + " | ".join(f"{number:.3f}" for number in numbers) + " |", flush=True)


def _flipped(one: Alignment) -> Alignment:
    return Alignment(flipped(one.sure), flipped(one.possible))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", action="append", required=True, metavar="NAME=MODEL_DIR")
    parser.add_argument("--reverse", action="append", default=[], metavar="NAME=MODEL_DIR")
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--target", type=Path, required=True)
    parser.add_argument("--gold", type=Path, required=True)
    parser.add_argument("--one-based", action="store_true")
    parser.add_argument("--reverse-gold", action="store_true", help="the gold links are (target, source)")
    parser.add_argument("--held-out", type=int, default=100)
    parser.add_argument("--learn", type=Path, action="append", help="twice: source, target")
    return parser.parse_args()


if __name__ == "__main__":
    main()
