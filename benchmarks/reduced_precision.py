"""Whether training with bfloat16 products is faster, and what it costs: several seeds, the same updates.

    python benchmarks/reduced_precision.py --data FOLDER [--steps 2000] [--seeds 1 2 3] [--threads 2]

FOLDER holds train.tsv.gz, dev.tsv.gz and test.tsv.gz: source, tab, target, both tokenised. For every seed the
same model is trained twice for so many updates, once with `training.precision=float32` and once with
`bfloat16`, in turns, and scored on the test set with beam search of 5. Everything that is written goes to the
cache folder. The table goes to standard output, in Markdown: a difference within the spread of the seeds is
noise.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

PRECISIONS = ("float32", "bfloat16")
REPOSITORY = Path(__file__).resolve().parents[1]
INTERVAL = 20  # updates between the log's lines


class Result(NamedTuple):
    """What one run reached."""

    tokens_per_second: float  # of training, the first interval left out
    bleu: float  # of the test set


def shisen(*arguments: str) -> str:
    """Run the command line; its standard output."""
    done = subprocess.run([sys.executable, "-m", "shisen", *arguments], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"shisen {arguments[0]} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def train_and_score(precision: str, seed: int, options: argparse.Namespace) -> Result:
    """One run from the start."""
    folder = options.cache / f"precision-{precision}-{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    settings = {
        "data.train.source": options.data / "train.tsv.gz",
        "data.validation.source": options.data / "dev.tsv.gz",
        "training.precision": precision,
        "training.seed": seed,
        "training.threads": options.threads,
        "training.max_steps": options.steps,
        "training.validation_interval": options.steps,
        "training.log_interval": INTERVAL,
    }
    overrides = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    shisen("train", str(options.config), "--out", str(folder), *overrides)
    lines = [json.loads(line) for line in (folder / "training_log.jsonl").read_text("utf-8").splitlines()]
    rates = [line["target_tokens_per_second"] for line in lines if line.get("target_tokens_per_second")]
    test = str(options.data / "test.tsv.gz")
    scores = json.loads(shisen("evaluate", str(folder), "--data", test, "--tokenize", "none", "--json"))
    return Result(statistics.harmonic_mean(rates[1:]), scores["bleu"]["score"])


def main() -> None:
    """Train every seed with both, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of train, dev and test.tsv.gz")
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/shisen-benchmarks").expanduser())
    parser.add_argument("--config", type=Path, default=REPOSITORY / "configs" / "tanaka-bahdanau.yaml")
    parser.add_argument("--steps", type=int, default=2000, help="updates of each run")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    results: dict[str, list[Result]] = {precision: [] for precision in PRECISIONS}
    for seed in options.seeds:
        for precision in PRECISIONS:
            result = train_and_score(precision, seed, options)
            results[precision].append(result)
            print(f"seed {seed}, {precision}: BLEU {result.bleu:.2f}", file=sys.stderr, flush=True)
    print(f"{options.steps:,} updates, {options.threads} threads, {os.cpu_count()} processors.\n")
    print("| seed | float32, BLEU | bfloat16, BLEU | float32, tokens/s | bfloat16, tokens/s | ratio |")
    print("|---|---:|---:|---:|---:|---:|")
    for seed, plain, reduced in zip(options.seeds, *results.values(), strict=True):
        speeds = plain.tokens_per_second, reduced.tokens_per_second
        print(
            f"| {seed} | {plain.bleu:.2f} | {reduced.bleu:.2f} | {speeds[0]:,.0f} | {speeds[1]:,.0f} "
            f"| {speeds[1] / speeds[0]:.2f} |"
        )
    if len(options.seeds) > 1:
        scores = [[result.bleu for result in results[precision]] for precision in PRECISIONS]
        plain, reduced = (f"{statistics.mean(bleu):.2f} ± {statistics.stdev(bleu):.2f}" for bleu in scores)
        print(f"| mean ± standard deviation | {plain} | {reduced} | | | |")


if __name__ == "__main__":
    main()
