"""shisen beside JoeyNMT 2.3.0: the same data, vocabulary and sizes, in turns, in one run.

    python benchmarks/joeynmt_comparison.py --data FOLDER [--family transformer] [--seconds 60] [--rounds 2]

FOLDER holds train.tsv.gz, dev.tsv.gz and test.tsv.gz: source, tab, target, both tokenised. Everything that is
written goes to the cache folder, JoeyNMT's own environment among it (made on the first run; --peer-python
takes one that exists). The result is a table in Markdown on standard output, and in --out where it is given.

What is measured:

* Training: target tokens a second, the end of each sentence counted, padding not. JoeyNMT logs that number
  itself (`Batch.ntokens`) over its whole training loop, validations left out; shisen logs the same. The first
  interval of each run is warm-up and left out; the rate of a run is its tokens by its time (the harmonic mean
  over intervals of equally many sentences).
* Decoding: sentences a second of beam search over the test set; loading model and data is left out for both.
* Quality: BLEU on the test set, on the given tokens, after equally long training (--decoding-minutes).
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import yaml

PEER_VERSION = "2.3.0"
PEER_REQUIREMENTS = [f"joeynmt=={PEER_VERSION}", "importlib_metadata", "setuptools<81"]
REPOSITORY = Path(__file__).resolve().parents[1]
LOGGED_SENTENCES = 1000  # of one interval of the logs, on both sides
SIZE = 256
HEADS, FEED_FORWARD_SIZE, LAYERS = 4, 1024, 3  # of the Transformer
WARM_UP_STEPS = 400  # of the Transformer's learning rate, on both sides
DROPOUT = 0.2
MAXIMUM_OUTPUT_LENGTH = 50
LENGTH_PENALTY = 1.0
LEARNING_RATE = 1e-3
WARM_UP_SECONDS = 5  # of shisen, besides the seconds that are measured


@dataclass
class Rates:
    """What was measured of one toolkit, one number a round."""

    training: list[float] = field(default_factory=list)  # target tokens a second
    decoding: list[float] = field(default_factory=list)  # sentences a second
    output_length: float = 0.0  # tokens a sentence, of the last decoding
    bleu: float = 0.0  # of the last decoding


class Decoded(NamedTuple):
    """One decoding of the test set."""

    rate: float  # sentences a second
    output_length: float  # tokens a sentence
    bleu: float


# ---- the peer


def peer_python(cache: Path) -> Path:
    """JoeyNMT's own environment, made on the first call."""
    environment = cache / f"joeynmt-{PEER_VERSION}"
    python = environment / "bin" / "python"
    if not (environment / "installed").is_file():
        print(f"making JoeyNMT's environment in {environment}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", environment], check=True)
        import torch

        version = torch.__version__.split("+")[0]  # the same PyTorch for both
        index = ["--extra-index-url", "https://download.pytorch.org/whl/cpu"]
        command = [python, "-m", "pip", "install", "-q", *index, f"torch=={version}", *PEER_REQUIREMENTS]
        subprocess.run(command, check=True)
        (environment / "installed").touch()
    return python


def write_plain_text(data: Path, folder: Path) -> None:
    """JoeyNMT reads one plain file a side and split."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "dev", "test"):
        with gzip.open(data / f"{split}.tsv.gz", "rt", encoding="utf-8") as file:
            pairs = [line.rstrip("\n").split("\t")[:2] for line in file]
        for side, suffix in enumerate(("source", "target")):
            text = "".join(pair[side] + "\n" for pair in pairs)
            (folder / f"{split}.{suffix}").write_text(text, encoding="utf-8")


_PEER_RECURRENT = {
    "type": "recurrent",
    "rnn_type": "gru",
    "hidden_size": SIZE,
    "embeddings": {"embedding_dim": SIZE, "dropout": DROPOUT},
    "dropout": DROPOUT,
    "num_layers": 1,
    "activation": "tanh",
}
_PEER_TRANSFORMER = {
    "type": "transformer",
    "hidden_size": SIZE,
    "ff_size": FEED_FORWARD_SIZE,
    "num_layers": LAYERS,
    "num_heads": HEADS,
    "embeddings": {"embedding_dim": SIZE, "dropout": DROPOUT, "scale": True},
    "dropout": DROPOUT,
    "layer_norm": "pre",
}
_PEER_MODELS = {
    "recurrent": {
        "initializer": "xavier_uniform",
        "embed_initializer": "normal",
        "embed_init_weight": 0.1,
        "init_rnn_orthogonal": True,
        "encoder": {**_PEER_RECURRENT, "bidirectional": True},
        "decoder": {
            **_PEER_RECURRENT,
            "attention": "bahdanau",
            "input_feeding": True,
            "hidden_dropout": DROPOUT,
            "init_hidden": "bridge",
        },
    },
    "transformer": {
        "initializer": "xavier_uniform",
        "embed_initializer": "normal",
        "embed_init_weight": SIZE**-0.5,
        "tied_softmax": True,
        "encoder": _PEER_TRANSFORMER,
        "decoder": _PEER_TRANSFORMER,
    },
}
_PEER_SCHEDULES: dict[str, dict] = {
    "recurrent": {"scheduling": "exponential", "decrease_factor": 1.0},  # a constant rate
    "transformer": {"scheduling": "warmupinversesquareroot", "learning_rate_warmup": WARM_UP_STEPS},
}
_CONFIGURATIONS = {"recurrent": "tanaka-bahdanau.yaml", "transformer": "tanaka-transformer.yaml"}
_SCHEDULES: dict[str, dict] = {
    "recurrent": {"training.schedule": "constant"},
    "transformer": {
        "training.schedule": "inverse-sqrt",
        "training.warmup_steps": WARM_UP_STEPS,
        "training.max_steps": "",
        "model.positions": "sinusoidal",
        "model.model_size": SIZE,
        "model.heads": HEADS,
        "model.feed_forward_size": FEED_FORWARD_SIZE,
        "model.encoder_layers": LAYERS,
        "model.decoder_layers": LAYERS,
        "model.norm": "pre",
        "model.activation": "relu",
        "model.tie_embeddings": "two-way",
    },
}


def peer_configuration(folder: Path, text: Path, options: argparse.Namespace) -> dict:
    """JoeyNMT's configuration of the model that our own configuration describes."""
    interval = max(1, LOGGED_SENTENCES // options.batch_size)
    side = {"level": "word", "lowercase": False, "voc_min_freq": 2, "tokenizer_type": "none"}
    return {
        "name": "comparison",
        "use_cuda": False,
        "random_seed": options.seed,
        "model_dir": str(folder),
        "data": {
            "train": str(text / "train"),
            "dev": str(text / "dev"),
            "test": str(text / "test"),
            "dataset_type": "plain",
            "src": {"lang": "source", **side},
            "trg": {"lang": "target", **side},
        },
        "model": _PEER_MODELS[options.family],
        "training": {
            "optimizer": "adam",
            "learning_rate": LEARNING_RATE,
            "learning_rate_min": 1e-8,
            **_PEER_SCHEDULES[options.family],
            "clip_grad_norm": 1.0,
            "label_smoothing": 0.1,
            "normalization": "tokens",
            "batch_size": options.batch_size,
            "batch_type": "sentence",
            "epochs": 1000,
            "logging_freq": interval,
            "validation_freq": interval * 100_000,
            "overwrite": True,
        },
        "testing": {
            "load_model": str(folder / "latest.ckpt"),
            "beam_size": options.beam_size,
            "beam_alpha": LENGTH_PENALTY,
            "batch_size": options.decoding_batch_size,
            "batch_type": "sentence",
            "max_output_length": MAXIMUM_OUTPUT_LENGTH,
            "eval_metrics": [],
        },
    }


def train_peer(python: Path, folder: Path, text: Path, options: argparse.Namespace) -> float:
    """Train JoeyNMT from the start for so many seconds; target tokens a second."""
    configuration = peer_configuration(folder, text, options)
    path = folder.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(configuration), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    command = [str(python), "-m", "joeynmt", "train", str(path), "--skip-test"]
    rates: list[float] = []
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=_environment(options),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    )
    assert process.stdout is not None
    lines, begin = [], None
    for line in process.stdout:
        lines.append(line)
        found = re.search(r"Tokens per Sec:\s+(\d+)", line)
        if not found:
            continue
        rates.append(float(found[1]))
        begin = begin or time.monotonic()  # after the first interval: the warm-up
        if time.monotonic() - begin >= options.seconds:
            process.send_signal(signal.SIGINT)  # it saves a checkpoint and ends
            break
    try:
        rest = process.communicate(timeout=120)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        rest = process.communicate()[0]
    if len(rates) < 2 or not (folder / "latest.ckpt").exists():
        sys.exit("JoeyNMT did not train:\n" + "".join(lines[-30:]) + rest)
    return statistics.harmonic_mean(rates[1:])


def decode_with_peer(python: Path, folder: Path, text: Path, options: argparse.Namespace) -> Decoded:
    """Translate the test set with JoeyNMT."""
    configuration = peer_configuration(folder, text, options)
    del configuration["data"]["dev"]
    path, output = folder.with_suffix(".test.yaml"), folder / "translations"
    path.write_text(yaml.safe_dump(configuration), encoding="utf-8")
    command = [str(python), "-m", "joeynmt", "test", str(path), "-o", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, env=_environment(options))
    log = done.stdout + done.stderr
    found = re.search(r"Generation took ([\d.]+)\[sec\]", log)
    if done.returncode or not found:
        sys.exit("JoeyNMT did not decode:\n" + log[-3000:])
    translations = output.with_name(output.name + ".test").read_text(encoding="utf-8").splitlines()
    return score(translations, len(translations) / float(found[1]), text)


def score(translations: Sequence[str], rate: float, text: Path) -> Decoded:
    """The measures of tokenised translations; both sides' words are split at spaces alone."""
    from sacrebleu.metrics import BLEU

    references = (text / "test.target").read_text(encoding="utf-8").splitlines()
    bleu = BLEU(tokenize="none", force=True).corpus_score(list(translations), [references])
    length = statistics.mean(len(line.split()) for line in translations)
    return Decoded(rate, length, bleu.score)


def _environment(options: argparse.Namespace) -> dict[str, str]:
    threads = str(options.threads)
    return {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "CUDA_VISIBLE_DEVICES": ""}


# ---- shisen


def train_shisen(folder: Path, options: argparse.Namespace) -> float:
    """Train shisen from the start for so many seconds; target tokens a second."""
    shutil.rmtree(folder, ignore_errors=True)
    settings = {
        "data.train.source": options.data / "train.tsv.gz",
        "data.validation.source": options.data / "dev.tsv.gz",
        "training.batch_size": options.batch_size,
        "model.dropout": DROPOUT,
        "training.batch_by": "sentences",
        "training.learning_rate": LEARNING_RATE,
        **_SCHEDULES[options.family],
        "training.log_interval": max(1, LOGGED_SENTENCES // options.batch_size),
        "training.max_minutes": (options.seconds + WARM_UP_SECONDS) / 60,
        "training.validation_interval": 1_000_000,
        "training.metric": "validation_loss",
        "training.bleu_sentences": 0,
        "training.threads": options.threads,
        "training.precision": options.precision,
        "training.seed": options.seed,
    }
    config = options.config or REPOSITORY / "configs" / _CONFIGURATIONS[options.family]
    command = [sys.executable, "-m", "shisen", "train", str(config), "--out", str(folder)]
    for key, value in settings.items():
        command += ["--set", f"{key}={value}"]
    done = subprocess.run(command, capture_output=True, text=True, env=_environment(options))
    log = folder / "training_log.jsonl"
    if done.returncode or not log.is_file():
        sys.exit("shisen did not train:\n" + (done.stdout + done.stderr)[-3000:])
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    rates = [line["target_tokens_per_second"] for line in lines if line.get("target_tokens_per_second")]
    if len(rates) < 2:
        sys.exit(
            f"shisen logged {len(rates)} intervals in {options.seconds:g} s; give it more with --seconds"
        )
    return statistics.harmonic_mean(rates[1:])


def decode_with_shisen(folder: Path, text: Path, options: argparse.Namespace) -> Decoded:
    """Translate the test set with shisen, in a process of its own; returns as `decode_with_peer` does."""
    command = [sys.executable, __file__, "--decode", str(folder), "--data", str(text)]
    for name in ("threads", "beam_size", "decoding_batch_size"):
        command += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    done = subprocess.run(command, capture_output=True, text=True, env=_environment(options))
    if done.returncode:
        sys.exit("shisen did not decode:\n" + (done.stdout + done.stderr)[-3000:])
    rate, translations = json.loads(done.stdout.splitlines()[-1])
    return score(translations, rate, text)


def decode_here(options: argparse.Namespace) -> None:
    """What that process does: load, then time the translation of the test set, from text to text."""
    import torch

    from shisen import Translator

    torch.set_num_threads(options.threads)
    translator = Translator.load(options.decode)
    sentences = (options.data / "test.source").read_text(encoding="utf-8").splitlines()
    begin = time.perf_counter()
    translations = translator.translate(
        sentences,
        beam_size=options.beam_size,
        batch_size=options.decoding_batch_size,
        max_length=MAXIMUM_OUTPUT_LENGTH,
        length_penalty=LENGTH_PENALTY,
        attention=False,
    )
    seconds = time.perf_counter() - begin
    print(json.dumps([len(sentences) / seconds, [translation.text for translation in translations]]))


# ---- the machine, and the table


class Contention:
    """How many processors others kept busy while a measurement ran (Linux; elsewhere nothing is known)."""

    def __init__(self) -> None:
        self._begin = self._now()

    @staticmethod
    def _now() -> tuple[float, float, float] | None:
        statistics_file = Path("/proc/stat")
        if not statistics_file.is_file():
            return None
        user, nice, system, *_ = map(int, statistics_file.read_text().split("\n")[0].split()[1:])
        own = resource.getrusage(resource.RUSAGE_CHILDREN)
        busy = (user + nice + system) / os.sysconf("SC_CLK_TCK")
        return time.monotonic(), busy, own.ru_utime + own.ru_stime

    def describe(self) -> str:
        """``others used 0.3 processors``."""
        now = self._now()
        if self._begin is None or now is None:
            return "contention unknown"
        wall, busy, own = (after - before for after, before in zip(now, self._begin, strict=True))
        return f"others used {max(0.0, (busy - own) / wall):.1f} processors"


def processor() -> str:
    """The processor's name and the features that decide how fast reduced precision is."""
    information = Path("/proc/cpuinfo")
    text = information.read_text() if information.is_file() else ""
    name = re.search(r"model name\s*:\s*(.+)", text)
    flags = set(re.findall(r"\b(?:amx_bf16|amx_tile|avx512_bf16|avx512f|avx2)\b", text))
    known = ["amx_bf16", "avx512_bf16", "avx512f", "avx2"]
    features = ", ".join(f"{flag} {'yes' if flag in flags else 'no'}" for flag in known)
    return f"{name[1] if name else platform.processor()}, {os.cpu_count()} processors ({features})"


def table(shisen: Rates, peer: Rates, seconds: float, options: argparse.Namespace) -> str:
    """The result in Markdown: the median of the rounds, and their ratio round by round."""
    import torch

    lines = [
        f"{processor()}; threads: {options.threads}, PyTorch {torch.__version__}, {options.rounds} times "
        f"{seconds:g} s of training in turns, shisen's precision {options.precision}.",
        "",
        f"| | shisen | JoeyNMT {PEER_VERSION} | ratio | each round |",
        "|---|---:|---:|---:|---|",
    ]
    rows = [
        (f"training, target tokens/s (batch of {options.batch_size})", shisen.training, peer.training),
        (
            f"decoding, sentences/s (beam {options.beam_size}, batch of {options.decoding_batch_size})",
            shisen.decoding,
            peer.decoding,
        ),
    ]
    for name, ours, theirs in rows:
        if ours and theirs:
            ratios = [own / other for own, other in zip(ours, theirs, strict=True)]
            each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
            lines.append(
                f"| {name} | {statistics.median(ours):,.0f} | {statistics.median(theirs):,.0f} "
                f"| {statistics.median(ratios):.2f} | {each} |"
            )
    if shisen.decoding and options.decoding_minutes:
        lines.append(
            f"| test BLEU after {options.decoding_minutes:g} minutes of training "
            f"| {shisen.bleu:.2f} | {peer.bleu:.2f} | | |"
        )
    if shisen.decoding:
        lines += [
            "",
            f"Translations had {shisen.output_length:.1f} and {peer.output_length:.1f} tokens a sentence; "
            "decoding time grows with the length, and a model that has trained too little does not end.",
        ]
    return "\n".join(lines) + "\n"


def compare(options: argparse.Namespace) -> None:
    """Measure both in turns, and print the table."""
    cache = options.cache.expanduser().absolute()
    cache.mkdir(parents=True, exist_ok=True)
    text = cache / "text"
    write_plain_text(options.data, text)
    python = options.peer_python or peer_python(cache)
    seconds, shisen, peer = options.seconds, Rates(), Rates()
    trainings = [
        ("JoeyNMT", peer, lambda: train_peer(python, cache / "joeynmt", text, options)),
        ("shisen", shisen, lambda: train_shisen(cache / "shisen", options)),
    ]
    decodings = [
        ("JoeyNMT", peer, lambda: decode_with_peer(python, cache / "joeynmt", text, options)),
        ("shisen", shisen, lambda: decode_with_shisen(cache / "shisen", text, options)),
    ]
    for number in range(1, options.rounds + 1):
        for name, rates, measure in trainings:
            contention = Contention()
            rates.training.append(measure())
            _say(f"round {number}: {name} trains", rates.training[-1], "target tokens/s", contention)
    if options.decoding_minutes:
        options.seconds = 60 * options.decoding_minutes
        for name, _, measure in trainings:
            contention = Contention()
            _say(f"{name} trains the model that decodes", measure(), "target tokens/s", contention)
    for number in range(1, options.rounds + 1):
        for name, rates, decode in decodings:
            contention = Contention()
            decoded = decode()
            rates.decoding.append(decoded.rate)
            rates.output_length, rates.bleu = decoded.output_length, decoded.bleu
            _say(f"round {number}: {name} decodes", decoded.rate, "sentences/s", contention)
    result = table(shisen, peer, seconds, options)
    print(result, end="")
    if options.out:
        options.out.write_text(result, encoding="utf-8")


def _say(what: str, rate: float, unit: str, contention: Contention) -> None:
    print(f"{what} {rate:,.0f} {unit} ({contention.describe()})", file=sys.stderr, flush=True)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of train, dev and test.tsv.gz")
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/shisen-benchmarks"))
    parser.add_argument("--peer-python", type=Path, help="a Python that has JoeyNMT, to save making one")
    parser.add_argument("--family", choices=list(_CONFIGURATIONS), default="recurrent")
    parser.add_argument("--config", type=Path, help="of shisen; by default the family's own")
    parser.add_argument("--seconds", type=float, default=60, help="of training in each run, warm-up left out")
    parser.add_argument(
        "--decoding-minutes",
        type=float,
        default=5,
        help="of training before decoding, for both; 0 decodes with the models of the last round",
    )
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", default="auto", help="of shisen: auto, float32 or bfloat16")
    parser.add_argument("--batch-size", type=int, default=100, help="sentences in training")
    parser.add_argument("--decoding-batch-size", type=int, default=100, help="sentences in decoding")
    parser.add_argument("--beam-size", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    parser.add_argument("--decode", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    options = parse()
    if options.decode:
        decode_here(options)
    else:
        compare(options)
