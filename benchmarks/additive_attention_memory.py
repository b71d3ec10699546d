"""How much memory additive attention takes over all queries at once, beside the formula as it is written.

    python benchmarks/additive_attention_memory.py [--batch 32] [--queries 100] [--keys 100]

Both make the scores e_ij = v_aᵀ tanh(q_i + k_j) in float32 and carry their gradients back. The formula as it
is written has a tensor [batch, queries, keys, attention_size], which its backward keeps; `shisen.attention`
takes the queries in chunks and computes tanh again. Each measurement is a process of its own: "memory" is how
far its peak (ru_maxrss) rises above what a first, tiny call left; inputs, scores and gradients are part of it
on both sides. Times are medians, after one call that is not counted. Linux and macOS. The table goes to
standard output, in Markdown.
"""

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from shisen.attention.additive import additive_scores

SIZES = (64, 256, 1024)  # attention_size
MEGABYTE = 1e6


def as_written(query: Tensor, keys: Tensor, v_a: Tensor) -> Tensor:
    """The formula, by broadcasting."""
    return torch.tanh(query[:, :, None] + keys[:, None]) @ v_a


IMPLEMENTATIONS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "as written": as_written,
    "shisen": additive_scores,
}


def forward_and_backward(name: str, batch: int, queries: int, keys: int, size: int) -> None:
    """The scores, and the gradients of the inputs."""
    inputs = [
        torch.randn(batch, queries, size, requires_grad=True),
        torch.randn(batch, keys, size, requires_grad=True),
        torch.randn(size, requires_grad=True),
    ]
    scores = IMPLEMENTATIONS[name](*inputs)
    scores.backward(torch.ones_like(scores))


def peak() -> float:
    """The most memory this process ever held, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MEGABYTE


def measure_here(name: str, shape: list[int], repetitions: int) -> None:
    """What the process of one measurement does; prints memory in MB and the median seconds."""
    torch.manual_seed(0)
    forward_and_backward(name, 1, 2, 2, shape[-1])  # the library's own one-time allocations
    before = peak()
    forward_and_backward(name, *shape)
    memory, seconds = peak() - before, []
    for _ in range(repetitions):
        begin = time.perf_counter()
        forward_and_backward(name, *shape)
        seconds.append(time.perf_counter() - begin)
    print(json.dumps([memory, statistics.median(seconds)]))


def measure(name: str, shape: list[int], options: argparse.Namespace) -> tuple[float, float]:
    """Memory and seconds of one implementation, in a process of its own."""
    command = [sys.executable, __file__, "--measure", name, *map(str, shape)]
    command += ["--repetitions", str(options.repetitions), "--threads", str(options.threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    memory, seconds = json.loads(done.stdout)
    return memory, seconds


def main() -> None:
    """Measure every size with both, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--keys", type=int, default=100)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--measure", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.measure:
        name, *shape = options.measure
        measure_here(name, [int(size) for size in shape], options.repetitions)
        return
    print(
        f"PyTorch {torch.__version__}, {platform.machine()}, threads: {options.threads}; forward and "
        f"backward of scores [{options.batch}, {options.queries}, {options.keys}] in float32.\n\n"
        "| attention_size | as written, MB | shisen, MB | ratio | as written, s | shisen, s | ratio |\n"
        "|---:|---:|---:|---:|---:|---:|---:|"
    )
    for size in SIZES:
        shape = [options.batch, options.queries, options.keys, size]
        plain, plain_seconds = measure("as written", shape, options)
        ours, our_seconds = measure("shisen", shape, options)
        print(
            f"| {size} | {plain:,.0f} | {ours:,.0f} | {plain / ours:.1f} "
            f"| {plain_seconds:.3f} | {our_seconds:.3f} | {plain_seconds / our_seconds:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
