"""How fast and how good a Transformer is on CTranslate2, beside this package's own engine.

    python benchmarks/engines.py MODEL_DIR --data test.tsv.gz [--threads 1] [--rounds 3]

MODEL_DIR is exported to CTranslate2 twice, in float32 and in int8. All engines translate the same sentences
with the same number of threads, in turns; a time is the median of the rounds, from text to text, loading not
counted. What is compared:

* sentences a second with a beam of 5, and how many times that is of our own engine;
* BLEU with that beam;
* the share of greedy translations that are our own engine's, token for token;
* the share of translations with a beam of 5 that are, and, in float32, where the scores are of one model, of
  those that score lower than our own engine's: CTranslate2's search comes upon other hypotheses.
"""

import argparse
import gzip
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

BEAM = 5


def main() -> None:
    """Export, measure in turns, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", type=Path, help="a model directory of a Transformer")
    parser.add_argument("--data", type=Path, required=True, help="TSV of source and reference (.gz too)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokenize", default="none", help="BLEU's tokenisation")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)  # before either engine is loaded

    import ctranslate2
    import torch
    from sacrebleu import corpus_bleu

    from shisen import Translator, __version__
    from shisen.export.exporting import export_model

    torch.set_num_threads(arguments.threads)
    opened = gzip.open if arguments.data.suffix == ".gz" else open
    with opened(arguments.data, "rt", encoding="utf-8") as file:
        pairs = [line.rstrip("\n").split("\t")[:2] for line in file]
    sources, references = [source for source, _ in pairs], [reference for _, reference in pairs]

    with tempfile.TemporaryDirectory() as folder:
        translators = {"shisen, float32": Translator.load(arguments.model)}
        for quantization in ("float32", "int8"):
            out = Path(folder) / quantization
            export_model(arguments.model, "ctranslate2", out, quantization)
            translators[f"CTranslate2, {quantization}"] = Translator.load(out)
    times: dict[str, list[float]] = {name: [] for name in translators}
    beam = {}
    for number in range(arguments.rounds + 1):  # the first is to warm up
        for name, translator in translators.items():
            begin, busy = time.perf_counter(), os.times()
            beam[name] = translator.translate(sources, beam_size=BEAM, attention=False)
            seconds = time.perf_counter() - begin
            own = os.times().user + os.times().system - busy.user - busy.system
            if number:
                times[name].append(seconds)
            print(f"{name}: {seconds:.2f} s, {own:.2f} s of processor", file=sys.stderr)
    greedy = {name: one.translate(sources, beam_size=1, attention=False) for name, one in translators.items()}

    own = next(iter(translators))
    base = statistics.median(times[own])
    print(
        f"{len(pairs):,} sentences, {arguments.threads} threads, beam {BEAM}, median of {arguments.rounds}; "
        f"shisen {__version__}, PyTorch {torch.__version__}, CTranslate2 {ctranslate2.__version__}, Python "
        f"{platform.python_version()}, {platform.processor() or platform.machine()}.\n"
    )
    print(
        "| engine | sentences/s | ratio | BLEU | greedy the same | beam the same | beam scores lower |\n"
        "|---|---:|---:|---:|---:|---:|---:|"
    )
    for name in translators:
        seconds = statistics.median(times[name])
        bleu = corpus_bleu(
            [one.text for one in beam[name]], [references], tokenize=arguments.tokenize, force=True
        ).score
        pairs_of_beams = list(zip(beam[name], beam[own], strict=True))
        shares = (
            sum(one.tokens == other.tokens for one, other in zip(greedy[name], greedy[own], strict=True)),
            sum(one.tokens == other.tokens for one, other in pairs_of_beams),
            sum(one.score < other.score - 1e-4 for one, other in pairs_of_beams),
        )
        columns = " | ".join(f"{share / len(pairs):.1%}" for share in shares[: 2 if "int8" in name else 3])
        columns += " |" if "int8" in name else ""
        print(f"| {name} | {len(pairs) / seconds:.1f} | {base / seconds:.2f} | {bleu:.2f} | {columns} |")


if __name__ == "__main__":
    main()
