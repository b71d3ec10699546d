"""Every attention mechanism on the same data for equally long: BLEU, speed, memory, parameters.

    python benchmarks/mechanisms.py --data FOLDER [--minutes 5] [--threads 1] [--only bahdanau transformer]

FOLDER holds train.tsv.gz, dev.tsv.gz and test.tsv.gz: source, tab, target, both tokenised. Each row is what
`shisen train` makes of a shipped configuration and the settings that the row names, `--set` by `--set`; each
runs in a process of its own, one after the other. BLEU is of the test set, with beam search of 5 and the
parameters that did best on dev; memory is the most that the training process held in RAM, PyTorch and data
included. The table goes to standard output, in Markdown, row by row.
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

REPOSITORY = Path(__file__).resolve().parents[1]
BAHDANAU, TRANSFORMER = "tanaka-bahdanau.yaml", "tanaka-transformer.yaml"

ROWS: dict[str, tuple[str, tuple[str, ...]]] = {
    "none": (BAHDANAU, ("model.attention=none",)),
    "bahdanau": (BAHDANAU, ()),
    "bahdanau, coverage": (BAHDANAU, ("model.coverage=true",)),
    "bahdanau, sparsemax": (BAHDANAU, ("model.attention_function=sparsemax",)),
    "bahdanau, entmax15": (BAHDANAU, ("model.attention_function=entmax15",)),
    "luong-dot": (BAHDANAU, ("model.attention=luong-dot",)),
    "luong-general": (BAHDANAU, ("model.attention=luong-general",)),
    "luong-concat": (BAHDANAU, ("model.attention=luong-concat",)),
    "local-m": (BAHDANAU, ("model.attention=local-m", "model.attention_window=5")),
    "local-p": (BAHDANAU, ("model.attention=local-p", "model.attention_window=5")),
    "transformer": (TRANSFORMER, ()),
    "transformer, post-norm": (TRANSFORMER, ("model.norm=post",)),
    "transformer, sinusoidal": (TRANSFORMER, ("model.positions=sinusoidal",)),
    "transformer, alibi": (TRANSFORMER, ("model.positions=alibi",)),
    "transformer, window(4)": (
        TRANSFORMER,
        ("model.positions=sinusoidal", "model.encoder_pattern=window(4)"),
    ),
    "transformer, one key/value head": (TRANSFORMER, ("model.key_value_heads=1",)),
    "transformer, entmax15": (TRANSFORMER, ("model.attention_function=entmax15",)),
}


class Result(NamedTuple):
    """What one run reached."""

    bleu: float
    updates: int
    tokens_per_second: float  # of training, the first interval left out
    megabytes: float  # at most, of the training process
    parameters: int


def measure(name: str, options: argparse.Namespace) -> Result:
    """Train a row from the start, and score it."""
    config, overrides = ROWS[name]
    folder = options.cache / "mechanism"
    shutil.rmtree(folder, ignore_errors=True)
    settings = [
        f"data.train.source={options.data / 'train.tsv.gz'}",
        f"data.validation.source={options.data / 'dev.tsv.gz'}",
        f"training.max_minutes={options.minutes}",
        f"training.threads={options.threads}",
        f"training.seed={options.seed}",
        "training.schedule=plateau",  # which no run is long enough to lower: all end at their full rate
        "training.max_steps=",
        *overrides,
    ]
    command = [sys.executable, "-m", "shisen", "train", REPOSITORY / "configs" / config, "--out", folder]
    for setting in settings:
        command += ["--set", setting]
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    process = subprocess.Popen(
        [str(word) for word in [*command, "--quiet"]], env=environment, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{name}: shisen train failed")
    log = [json.loads(line) for line in (folder / "training_log.jsonl").read_text("utf-8").splitlines()]
    rates = [line["target_tokens_per_second"] for line in log if line.get("target_tokens_per_second")]
    test = ["--data", str(options.data / "test.tsv.gz"), "--tokenize", "none", "--bootstrap", "0", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "shisen", "evaluate", str(folder), *test],
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
    )
    kilobyte = 1 if sys.platform == "darwin" else 1024  # what ru_maxrss counts in
    return Result(
        bleu=json.loads(done.stdout)["bleu"]["score"],
        updates=max(line["step"] for line in log),
        tokens_per_second=statistics.harmonic_mean(rates[1:]),
        megabytes=usage.ru_maxrss * kilobyte / 1e6,
        parameters=_parameters(folder / "model.safetensors"),
    )


def _parameters(path: Path) -> int:
    """How many numbers a file of parameters holds."""
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118  (not a mapping)
    count = 0
    for shape in shapes:
        size = 1
        for length in shape:
            size *= length
        count += size
    return count


def main() -> None:
    """Measure row by row."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of train, dev and test.tsv.gz")
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/shisen-benchmarks").expanduser())
    parser.add_argument("--minutes", type=float, default=5, help="of training for each")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=list(ROWS), default=list(ROWS), metavar="ROW")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    print(f"{options.minutes:g} minutes of training each, {options.threads} thread(s).\n")
    print("| mechanism | `--set` | test BLEU | updates | target tokens/s | memory, MB | parameters |")
    print("|---|---|---:|---:|---:|---:|---:|", flush=True)
    for name in options.only:
        result = measure(name, options)
        settings = " ".join(f"`{setting}`" for setting in ROWS[name][1]).replace("|", "\\|")
        print(
            f"| {name} | {settings} | {result.bleu:.2f} | {result.updates:,} "
            f"| {result.tokens_per_second:,.0f} | {result.megabytes:,.0f} | {result.parameters:,} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
