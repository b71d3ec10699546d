"""Time and memory of sparse self-attention beside dense attention under the same mask.

    python benchmarks/sparse_attention.py [--lengths 4096 8192 16384] [--radius 64] [--threads 2]
    python benchmarks/sparse_attention.py --patterns ["window(64)" "strided(64)" ...]

One layer of multi-head self-attention (model size 64, one head, one sequence, float32), forward and backward.
"sparse" is `SparseSelfAttention` under `window(radius)`; "dense" is `MultiHeadAttention` under that pattern's
dense mask, with the weights that it makes (what an explicit product costs) and, as "fused", without. With
--patterns, sparse attention under each of several patterns (those of the guide, where none is named) beside
dense attention, whose cost does not depend on the pattern. Each measurement is a process of its own.

"Memory" is the most that the process holds in physical memory, less what it holds after a first, short call
of the same kind: layer, input, dense mask or sparse plan, everything of forward and backward, the gradients.
The dense mask is made in slices, so that only the mask itself counts. On Linux the peak is reset before it is
measured (/proc/self/clear_refs); elsewhere it cannot be.
"Time" is the median of --repetitions calls forward and backward, or of as many as take two seconds, after the
call that memory was measured in: the mask or plan is there already. With --threads 1 it is processor time, in
which what else the machine does counts little; with more, time by the clock.
The table goes to standard output, in Markdown.
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
from pathlib import Path

import torch

from shisen.attention import MultiHeadAttention, SparseSelfAttention
from shisen.attention.patterns import Pattern, parse_pattern

SIZE, HEADS = 64, 1
SHORT = 128
LEAST_SECONDS = 2
MEGABYTE = 1e6
KINDS = ("sparse", "dense", "fused")
GALLERY = (
    "window(64)",
    "strided(64)",
    "global_tokens([0])",
    "random_blocks(3, 64)",
    "block_local(64)",
    "causal()",
    "longformer(64, [0])",
    "bigbird(64, 3, [0])",
    "longformer(64, [0]) & causal()",
)


def dense_mask(pattern: Pattern, length: int) -> torch.Tensor:
    """The whole mask, [1, length, length], made in slices."""
    mask, positions = torch.empty(1, length, length, dtype=torch.bool), torch.arange(length)
    for rows in positions.split(128):
        mask[0, rows] = pattern.allows(rows[:, None], positions, length)
    return mask


def forward_and_backward(kind: str, pattern: Pattern, length: int) -> Callable[[], None]:
    """What is measured: a call is one layer, and the gradients of its input and parameters."""
    torch.manual_seed(0)
    x = torch.randn(1, length, SIZE, requires_grad=True)
    if kind == "sparse":
        sparse = SparseSelfAttention(SIZE, HEADS, pattern)
        return lambda: sparse(x)[0].sum().backward()
    dense, mask = MultiHeadAttention(SIZE, HEADS), dense_mask(pattern, length)
    return lambda: dense(x, mask=mask, return_weights=kind == "dense")[0].sum().backward()


def held(name: str) -> float:
    """What the process holds in physical memory, in MB: ``VmRSS`` now, ``VmHWM`` at most."""
    status = Path("/proc/self/status")
    if not status.exists():
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MEGABYTE
    line = next(line for line in status.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024 / MEGABYTE


def measure_here(
    kind: str, pattern: Pattern, length: int, repetitions: int, clock: Callable[[], float]
) -> None:
    """What the process of one measurement does; prints memory in MB and the median seconds."""
    forward_and_backward(kind, pattern, SHORT)()
    if Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is held now
    before = held("VmRSS")
    call = forward_and_backward(kind, pattern, length)
    call()
    memory, seconds = held("VmHWM") - before, []
    while len(seconds) < repetitions or sum(seconds) < LEAST_SECONDS:
        begin = clock()
        call()
        seconds.append(clock() - begin)
    print(json.dumps([memory, statistics.median(seconds)]))


def measure(kind: str, pattern: str, length: int, options: argparse.Namespace) -> tuple[float, float]:
    """Memory and seconds of one kind, in a process of its own."""
    command = [sys.executable, __file__, "--measure", kind, "--patterns", pattern, "--lengths", str(length)]
    for name in ("threads", "repetitions"):
        command += [f"--{name}", str(getattr(options, name))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    memory, seconds = json.loads(done.stdout)
    return memory, seconds


def beside_dense(options: argparse.Namespace) -> None:
    """Print one pattern beside both kinds of dense attention, a line for each length."""
    pattern = f"window({options.radius})"
    print(
        "| length | sparse, s | dense, s | fused, s | dense / sparse | sparse, MB | dense, MB | fused, MB "
        "| dense / sparse |\n|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    )
    for length in options.lengths:
        memories, times = zip(*(measure(kind, pattern, length, options) for kind in KINDS), strict=True)
        cells = [
            f"{length:,}",
            *(f"{seconds:.3f}" for seconds in times),
            f"{times[1] / times[0]:.0f}",
            *(f"{memory:,.0f}" for memory in memories),
            f"{memories[1] / memories[0]:.0f}",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


def pattern_by_pattern(options: argparse.Namespace) -> None:
    """Print a line for each pattern and for both kinds of dense attention: time and memory at each length."""
    lengths = options.lengths
    heads = [f"{length:,}, {unit}" for unit in ("s", "MB") for length in lengths]
    print(f"| | {' | '.join(heads)} | time, last / one before |\n|---|{'---:|' * (len(heads) + 1)}")
    sides = [("sparse", text) for text in options.patterns] + [
        (kind, options.patterns[0]) for kind in KINDS[1:]
    ]
    for kind, text in sides:
        memories, times = zip(*(measure(kind, text, length, options) for length in lengths), strict=True)
        cells = [
            "`{}`".format(text.replace("|", "\\|")) if kind == "sparse" else kind,
            *(f"{seconds:.3f}" for seconds in times),
            *(f"{memory:,.0f}" for memory in memories),
            f"{times[-1] / times[-2]:.1f}" if len(times) > 1 else "",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Measure every length with each kind, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--lengths", type=int, nargs="+", default=[4096, 8192, 16384])
    parser.add_argument("--radius", type=int, default=64)
    parser.add_argument("--patterns", nargs="*", help="of the guide, where none is named")
    parser.add_argument("--repetitions", type=int, default=1)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--measure", choices=KINDS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.measure:
        pattern = parse_pattern(options.patterns[0])
        clock = time.process_time if options.threads == 1 else time.perf_counter
        measure_here(options.measure, pattern, options.lengths[0], options.repetitions, clock)
        return
    print(f"PyTorch {torch.__version__}, {platform.machine()}, threads: {options.threads}.\n")
    if options.patterns is None:
        beside_dense(options)
    else:
        options.patterns = options.patterns or list(GALLERY)
        pattern_by_pattern(options)


if __name__ == "__main__":
    main()
