"""Multi-head self-attention beside `torch.nn.MultiheadAttention`, with and without weights.

    python benchmarks/multi_head_attention.py [--batch 32] [--length 128] [--size 256] [--heads 8]

Forward and backward in float32, in training mode without dropout. The two take turns, --repetitions times
after one round that is not counted; times are medians. The table goes to standard output, in Markdown.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from shisen.attention import MultiHeadAttention


def seconds(attend: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """Forward and backward once."""
    begin = time.perf_counter()
    attend(x).sum().backward()
    return time.perf_counter() - begin


def main() -> None:
    """Measure in turns, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--repetitions", type=int, default=30)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    ours = MultiHeadAttention(options.size, options.heads)
    theirs = torch.nn.MultiheadAttention(options.size, options.heads, batch_first=True)
    x = torch.randn(options.batch, options.length, options.size, requires_grad=True)
    print(
        f"PyTorch {torch.__version__}, {platform.machine()}, threads: {options.threads}; "
        f"[{options.batch}, {options.length}, {options.size}], {options.heads} heads.\n\n"
        "| | shisen, ms | torch, ms | shisen / torch |\n|---|---:|---:|---:|"
    )
    for has_weights in (False, True):
        sides: list[Callable[[Tensor], Tensor]] = [
            lambda x, w=has_weights: ours(x, return_weights=w)[0],
            lambda x, w=has_weights: theirs(x, x, x, need_weights=w, average_attn_weights=False)[0],
        ]
        rounds = [[seconds(attend, x) for attend in sides] for _ in range(options.repetitions + 1)]
        own, other = (statistics.median(times) * 1000 for times in zip(*rounds[1:], strict=True))
        name = "with weights" if has_weights else "without weights"
        print(f"| {name} | {own:.1f} | {other:.1f} | {own / other:.2f} |", flush=True)


if __name__ == "__main__":
    main()
