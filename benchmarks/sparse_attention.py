"""Time and memory of sparse self-attention beside dense attention under the same mask.

    python benchmarks/sparse_attention.py [--lengths 4096 8192 16384] [--radius 64] [--threads 2]

One layer of multi-head self-attention (model size 64, one head, one sequence, float32), forward and backward.
"sparse" is `SparseSelfAttention` under `window(radius)`; "dense" is `MultiHeadAttention` under that pattern's
dense mask, with the weights that it makes (what an explicit product costs) and, as "fused", without. Each
measurement is a process of its own: "memory" is how far its peak (ru_maxrss) rises above what a first, short
call left. Times are medians of --repetitions after one call that is not counted. Linux and macOS. The table
goes to standard output, in Markdown.
"""

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time

import torch

from shisen.attention import MultiHeadAttention, SparseSelfAttention
from shisen.attention.patterns import window

SIZE, HEADS = 64, 1
MEGABYTE = 1e6
KINDS = ("sparse", "dense", "fused")


def forward_and_backward(kind: str, length: int, radius: int) -> None:
    """One layer, and the gradient of its input."""
    torch.manual_seed(0)
    pattern = window(radius)
    x = torch.randn(1, length, SIZE, requires_grad=True)
    if kind == "sparse":
        context, _ = SparseSelfAttention(SIZE, HEADS, pattern)(x)
    else:
        mask = pattern.mask(length)[None]
        context, _ = MultiHeadAttention(SIZE, HEADS)(x, mask=mask, return_weights=kind == "dense")
    context.sum().backward()


def peak() -> float:
    """The most memory this process ever held, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MEGABYTE


def measure_here(kind: str, length: int, radius: int, repetitions: int) -> None:
    """What the process of one measurement does; prints memory in MB and the median seconds."""
    forward_and_backward(kind, 2 * radius, radius)
    before = peak()
    forward_and_backward(kind, length, radius)
    memory, seconds = peak() - before, []
    for _ in range(repetitions):
        begin = time.perf_counter()
        forward_and_backward(kind, length, radius)
        seconds.append(time.perf_counter() - begin)
    print(json.dumps([memory, statistics.median(seconds)]))


def measure(kind: str, length: int, options: argparse.Namespace) -> tuple[float, float]:
    """Memory and seconds of one kind, in a process of its own."""
    command = [sys.executable, __file__, "--measure", kind, "--lengths", str(length)]
    for name in ("radius", "threads", "repetitions"):
        command += [f"--{name}", str(getattr(options, name))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    memory, seconds = json.loads(done.stdout)
    return memory, seconds


def main() -> None:
    """Measure every length with each kind, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--lengths", type=int, nargs="+", default=[4096, 8192, 16384])
    parser.add_argument("--radius", type=int, default=64)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--measure", choices=KINDS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.measure:
        measure_here(options.measure, options.lengths[0], options.radius, options.repetitions)
        return
    print(
        f"PyTorch {torch.__version__}, {platform.machine()}, threads: {options.threads}; window of "
        f"{options.radius} to each side.\n\n"
        "| length | sparse, s | dense, s | fused, s | dense / sparse | sparse, MB | dense, MB | fused, MB "
        "| dense / sparse |\n|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    )
    for length in options.lengths:
        memories, times = zip(*(measure(kind, length, options) for kind in KINDS), strict=True)
        cells = [
            f"{length:,}",
            *(f"{seconds:.3f}" for seconds in times),
            f"{times[1] / times[0]:.0f}",
            *(f"{memory:,.0f}" for memory in memories),
            f"{memories[1] / memories[0]:.0f}",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
