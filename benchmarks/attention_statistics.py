"""Time of the statistics of attention maps beside a straightforward loop over rows.

    python benchmarks/attention_statistics.py [--layers 12] [--heads 12] [--tokens 512] [--threads 2]

"statistics" is `shisen.inspection.attention_statistics` of one large map: all measures but Gini, whose rows
have to be sorted ("with Gini"). "loop" is the same measures row by row, each a few NumPy calls on one row.
"copy" copies the weights once, with as many threads: what the memory gives. The share of its bandwidth is the
bytes of the map, read once, over the time of the statistics, against the bytes read and written by the copy
over its time.
"sentences" are --sentences maps of 6 layers, 8 heads and 20 × 20 tokens: `attention_statistics` of each, and
`CorpusStatistics.add` of each, which measures and gathers. Medians of --repetitions calls, by the clock;
sentences once. Loop and statistics are compared before they are timed. Markdown on standard output.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def seconds(call: Callable[[], object], repetitions: int) -> float:
    """The median time of a call, after one that does not count."""
    call()
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--sentences", type=int, default=10_000)
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"  # read when NumPy is imported; the threads are those of the statistics

    import numpy as np

    from shisen.inspection import AttentionMap, CorpusStatistics, attention_statistics

    threads = arguments.threads

    def attention(layers: int, heads: int, tokens: int, seed: int = 0) -> AttentionMap:
        random = np.random.default_rng(seed)
        weights = random.exponential(size=(layers, heads, tokens, tokens)).astype(np.float32)
        weights /= weights.sum(axis=-1, keepdims=True)
        names = [f"w{number}" for number in range(tokens - 2)] + [".", "</s>"]
        return AttentionMap(weights, tuple(names), tuple(names), "encoder")

    def loop(one: AttentionMap) -> dict[str, np.ndarray]:
        keys = np.arange(len(one.key_tokens))
        is_end = np.array([token == "</s>" for token in one.key_tokens])
        is_punctuation = np.array([token == "." for token in one.key_tokens])
        names = ("entropy", "max_weight", "max_position", "effective_positions", "distance", "diagonal_mass")
        names += ("punctuation_mass", "end_mass", "first_mass", "row_sums")
        found = {name: np.empty(one.row_sums.shape) for name in names}
        for place in np.ndindex(one.row_sums.shape):
            row = one.weights[place]
            distance = np.abs(keys - place[2])
            positive = row[row > 0]
            found["entropy"][place] = -(positive * np.log(positive)).sum()
            found["max_weight"][place] = row.max()
            found["max_position"][place] = row.argmax()
            found["effective_positions"][place] = (row > 0.1).sum()
            found["row_sums"][place] = row.sum()
            found["distance"][place] = (row * distance).sum() / row.sum()
            found["diagonal_mass"][place] = row[distance <= 1].sum()
            found["punctuation_mass"][place] = row[is_punctuation].sum()
            found["end_mass"][place] = row[is_end].sum()
            found["first_mass"][place] = row[0]
        return found

    def with_gini(one: AttentionMap) -> np.ndarray:
        return attention_statistics(one, threads=threads).gini

    def copy(source: np.ndarray, target: np.ndarray, pool: ThreadPoolExecutor) -> None:
        parts = zip(np.array_split(source, threads), np.array_split(target, threads), strict=True)
        list(pool.map(lambda part: np.copyto(part[1], part[0]), parts))

    one = attention(arguments.layers, arguments.heads, arguments.tokens)
    measured = attention_statistics(one, threads=threads)
    start = time.perf_counter()
    expected = loop(one)
    straight = time.perf_counter() - start
    for name, values in expected.items():
        assert np.allclose(getattr(measured, name), values, rtol=1e-4, atol=1e-5), name
    whole = seconds(lambda: attention_statistics(one, threads=threads), arguments.repetitions)
    sorting = seconds(lambda: with_gini(one), 3)
    target = np.empty_like(one.weights)
    with ThreadPoolExecutor(threads) as pool:
        copying = seconds(lambda: copy(one.weights, target, pool), arguments.repetitions)
    print(f"{list(one.weights.shape)} [layers, heads, queries, keys], {threads} thread(s)\n")
    print("| | ms | against statistics |\n|---|---:|---:|")
    rows = (("statistics", whole), ("with Gini", sorting), ("loop", straight), ("copy", copying))
    for title, value in rows:
        print(f"| {title} | {1000 * value:,.0f} | {value / whole:,.2f} |")
    read, bandwidth = one.weights.nbytes / whole, 2 * one.weights.nbytes / copying
    print(f"\nread at {read / 1e9:.1f} GB/s, {read / bandwidth:.0%} of a copy's {bandwidth / 1e9:.1f} GB/s\n")

    maps = [attention(6, 8, 20, seed) for seed in range(min(500, arguments.sentences))]
    straight = seconds(lambda: loop(maps[0]), 3) * arguments.sentences
    corpus = CorpusStatistics()
    times = []
    for call in (attention_statistics, corpus.add):
        call(maps[0])
        start = time.perf_counter()
        for number in range(arguments.sentences):
            call(maps[number % len(maps)])
        corpus.sentences  # noqa: B018
        times.append(time.perf_counter() - start)
    print(f"{arguments.sentences:,} maps of [6, 8, 20, 20], one after the other, one thread\n")
    print("| | s | against statistics |\n|---|---:|---:|")
    for title, value in (("statistics", times[0]), ("gathered", times[1]), ("loop (of one map)", straight)):
        print(f"| {title} | {value:,.2f} | {value / times[0]:,.1f} |")


if __name__ == "__main__":
    main()
