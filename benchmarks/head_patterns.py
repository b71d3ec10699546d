"""How often the recogniser of head patterns is right, on made-up maps of every pattern with noise.

    python benchmarks/head_patterns.py [--maps 200] [--lengths 10 16 24 40] [--noise 0.1 0.4] [--seed 0]

Each map is one head and one sentence, (1 − ε) · pattern + ε · Dirichlet(1, …, 1) noise in every row, ε drawn
evenly from --noise, the length from --lengths, the kinds of attention that have the pattern in turn
(`shisen.inspection.example_patterns`). The local head is a triangle over five keys, not the recogniser's
flat window. Nothing is averaged over sentences, which makes this harder than a corpus. The table (rows: what
it is; columns: what was recognised) goes to standard output in Markdown.
"""

import argparse
from collections import Counter

import numpy as np

from shisen.inspection.example_patterns import example_map, kinds_of
from shisen.inspection.head_patterns import PATTERNS, recognize_pattern


def count_answers(
    maps: int, lengths: list[int], noise: tuple[float, float], seed: int
) -> dict[str, Counter[str]]:
    """What was recognised, for each pattern, in `maps` maps of it."""
    random = np.random.default_rng(seed)
    answers: dict[str, Counter[str]] = {name: Counter() for name in PATTERNS}
    for name in PATTERNS:
        for number in range(maps):
            kind = kinds_of(name)[number % len(kinds_of(name))]
            length, share = int(random.choice(lengths)), float(random.uniform(*noise))
            one = example_map(name, length, share, seed + number, kind)
            answers[name][recognize_pattern(one).names[0][0]] += 1
    return answers


def right_share(answers: dict[str, Counter[str]]) -> float:
    """The share of right answers over all patterns."""
    right = sum(counts[name] for name, counts in answers.items())
    return right / sum(sum(counts.values()) for counts in answers.values())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--maps", type=int, default=200)
    parser.add_argument("--lengths", type=int, nargs="+", default=[10, 16, 24, 40])
    parser.add_argument("--noise", type=float, nargs=2, default=(0.1, 0.4))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    low, high = arguments.noise
    answers = count_answers(arguments.maps, arguments.lengths, (low, high), arguments.seed)
    print("| | " + " | ".join(PATTERNS) + " |\n|---|" + "---:|" * len(PATTERNS))
    for name, counts in answers.items():
        print(f"| {name} | " + " | ".join(str(counts[other] or "") for other in PATTERNS) + " |")
    print(f"\nright: {right_share(answers):.1%}, the worst pattern: ", end="")
    worst = min(PATTERNS, key=lambda name: answers[name][name])
    print(f"{worst}, {answers[worst][worst] / arguments.maps:.1%}")


if __name__ == "__main__":
    main()
