"""How much memory a corpus of millions of pairs takes, from text file to batches.

    python benchmarks/data_memory.py [--pairs 2000000] [--batches 2000] [--folder FOLDER]

A synthetic text is written to a temporary folder: words of a made-up vocabulary of 30,000, as frequent as
Zipf's law has it, 4 to 24 a sentence. Then, each step timed and the memory taken at its end: byte-pair
vocabularies of 8,000 are learned from an even sample of 200,000 sentences a side, every pair is tokenised to
disk, an epoch is planned, and batches of 100 sentences are drawn at random over the whole corpus.

Memory is what Linux says of the process: "held" (RssAnon) is the memory that the process itself needs;
"mapped" (RssFile) are pages of files, the corpus among them, that happen to be in memory and that the system
takes back whenever it wants; "peak" is the most that both together ever were. Linux only. The table goes to
standard output, in Markdown.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from shisen.data.batches import BucketedBatches
from shisen.data.config import DataConfig
from shisen.data.preparation import prepare

LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz"))
CHUNK = 50_000


class Table:
    """Prints one row a step: seconds since the last row, and the memory at its end."""

    def __init__(self) -> None:
        print("| step | seconds | held MB | mapped MB | peak MB |\n|---|---:|---:|---:|---:|")
        self.since = time.perf_counter()

    def row(self, step: str) -> None:
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        held, mapped, peak = (int(status[key].split()[0]) // 1000 for key in ("RssAnon", "RssFile", "VmHWM"))
        seconds = time.perf_counter() - self.since
        print(f"| {step} | {seconds:,.1f} | {held:,} | {mapped:,} | {peak:,} |", flush=True)
        self.since = time.perf_counter()


def write_text(path: Path, pairs: int, seed: int) -> None:
    """One side of the synthetic text; both sides have sentences of the same lengths."""
    lengths = np.random.default_rng(0).integers(4, 25, size=pairs)
    random = np.random.default_rng(seed)
    words = np.array(["".join(random.choice(LETTERS, random.integers(2, 9))) for _ in range(30_000)])
    cumulative = np.cumsum(1 / np.arange(1, len(words) + 1))
    with path.open("w", encoding="utf-8") as file:
        for first in range(0, pairs, CHUNK):
            part = lengths[first : first + CHUNK]
            drawn = words[np.searchsorted(cumulative, random.random(part.sum()) * cumulative[-1])].tolist()
            ends = np.cumsum(part).tolist()
            begins = [0, *ends[:-1]]
            file.writelines(" ".join(drawn[a:b]) + "\n" for a, b in zip(begins, ends, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=2_000_000)
    parser.add_argument("--batches", type=int, default=2000)
    parser.add_argument("--folder", help="where the temporary folder is made")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as temporary:
        measure(Path(temporary), arguments.pairs, arguments.batches)


def measure(folder: Path, pairs: int, batches: int) -> None:
    table = Table()
    table.row("libraries loaded")
    for seed, side in enumerate(("source", "target")):
        write_text(folder / side, pairs, seed)
    megabytes = sum((folder / side).stat().st_size for side in ("source", "target")) // 10**6
    table.row(f"{pairs:,} pairs written ({megabytes:,} MB of text)")

    config = DataConfig.model_validate(
        {
            "train": {"source": str(folder / "source"), "target": str(folder / "target")},
            "tokenizer": {"kind": "bpe", "vocabulary_size": 8000, "training_sentences": 200_000},
            "max_length": 250,
        }
    )
    learning_ends: list[bool] = []

    def progress(what: str, _: int) -> None:
        if what.startswith("tokenising") and not learning_ends:
            learning_ends.append(True)
            table.row("vocabularies learned")

    corpus = prepare(config, folder / "prepared", progress).train
    on_disk = sum(path.stat().st_size for path in (folder / "prepared" / "train").iterdir()) // 10**6
    table.row(f"corpus tokenised ({on_disk:,} MB on disk)")

    epochs = BucketedBatches(corpus, batch_size=100)
    count = epochs.count(0)
    table.row(f"epoch of {count:,} batches planned")
    tokens = 0
    for number, batch in enumerate(epochs.epoch(0), start=1):
        tokens += batch.target_tokens
        if number == batches:
            break
    table.row(f"{number:,} batches drawn ({tokens:,} target tokens)")
    print(f"\n{len(corpus):,} pairs kept; lengths in memory: {2 * corpus.source_lengths.nbytes // 10**6} MB")


if __name__ == "__main__":
    main()
