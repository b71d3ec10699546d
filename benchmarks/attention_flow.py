"""Time of attention rollout beside a straightforward loop, and of attention flow.

    python benchmarks/attention_flow.py [--layers 12] [--heads 12] [--tokens 512] [--threads 2]

"rollout" is `shisen.inspection.flow.attention_rollout`: from weights [layers, heads, tokens, tokens] to a
checked map. "loop" is the same without whole arrays: for each layer and query the mean over the heads, the
residual, the sum, and the row of the product, in NumPy row by row. "bound" reads the weights once (their
sum), which nothing that uses all of them can avoid. Medians of --repetitions calls, by the clock, and ratios.
"flow" is `attention_flow` of 6 layers and --flow-tokens tokens, whose work grows much faster. Markdown on
standard output.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable


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
    parser.add_argument("--flow-tokens", type=int, default=20)
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(arguments.threads)  # read when NumPy is imported

    import numpy as np

    from shisen.inspection.attention_map import AttentionMap
    from shisen.inspection.flow import attention_flow, attention_rollout

    def attention(layers: int, heads: int, tokens: int) -> AttentionMap:
        random = np.random.default_rng(0)
        weights = random.exponential(size=(layers, heads, tokens, tokens)).astype(np.float32)
        weights /= weights.sum(axis=-1, keepdims=True)
        names = [f"w{number}" for number in range(tokens)]
        return AttentionMap(weights, tuple(names), tuple(names), "encoder")

    def loop(one: AttentionMap) -> "np.ndarray":
        tokens = len(one.query_tokens)
        rolled = np.eye(tokens, dtype=np.float32)
        for layer in one.weights:
            product = np.empty_like(rolled)
            for query in range(tokens):
                row = np.float32(0.5) * sum(head[query] for head in layer) / len(layer)
                row[query] += 0.5
                product[query] = (row / row.sum()) @ rolled
            rolled = product
        return rolled

    one = attention(arguments.layers, arguments.heads, arguments.tokens)
    assert np.allclose(attention_rollout(one).matrix(), loop(one), atol=1e-5)
    rollout = seconds(lambda: attention_rollout(one), arguments.repetitions)
    straight = seconds(lambda: loop(one), 3)
    bound = seconds(lambda: one.weights.sum(), arguments.repetitions)
    small = attention(6, arguments.heads, arguments.flow_tokens)
    flow = seconds(lambda: attention_flow(small), 3)
    size = f"{arguments.layers} layers × {arguments.heads} heads × {arguments.tokens} tokens"
    print(f"{size}, {arguments.threads} thread(s)\n")
    print("| | ms | against rollout |\n|---|---:|---:|")
    for name, value in (("rollout", rollout), ("loop", straight), ("bound: read once", bound)):
        print(f"| {name} | {1000 * value:.1f} | {value / rollout:.2f} |")
    print(f"\nread at {one.weights.nbytes / rollout / 1e9:.1f} GB/s, {bound / rollout:.0%} of the bound's")
    print(f"flow of 6 layers × {arguments.flow_tokens} tokens: {1000 * flow:.0f} ms")


if __name__ == "__main__":
    main()
