"""What people get wrong, one `Case` a mistake; `test_bad_input.py` runs each through the command line.

The commands run in a folder that `test_bad_input.py` fills first:

    train.en train.ja validation.en validation.ja test.en test.ja test.align   text from the embedded corpus
    config.yaml     a configuration of two updates on that text
    run/            the finished run of that configuration
    language.yaml   a configuration of a language model on the English side
    language/       the finished run of that configuration
    lines.txt       three English lines
"""

import gzip
import json
import pickle
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Change = Callable[[Path], None]


@dataclass(frozen=True)
class Case:
    """One mistake.

    Args:
        name: Which.
        command: What is typed after `shisen`.
        words: What the message has to hold.
        files: Files that are written first, by name.
        change: What else is done to the folder first.
        code: The exit code: 2 for what is wrong from the start, 1 for what goes wrong at run time.
        begins: Whether the command has begun its work by then, so that lines of progress precede the message.
        prints: Whether it has printed results by then: lines of a stream that came before the bad one.
        leaves: What the command may leave behind: a run from which --resume goes on.
        blocked: A package that cannot be imported.
        file_limit: The bytes that a file can have: stands for a full disk.
    """

    name: str
    command: str
    words: tuple[str, ...]
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    change: Change | None = None
    code: int = 2
    begins: bool = False
    prints: bool = False
    leaves: str | None = None
    blocked: str | None = None
    file_limit: int | None = None

    @property
    def needs(self) -> list[str]:
        """Return the special files of Linux that the command names."""
        return re.findall(r"/(?:proc|dev)/\w+", self.command)


def truncated(name: str, kept: float = 0.5) -> Change:
    """Cut a file off, as a full disk or a broken copy does."""

    def change(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(len(content) * kept)])

    return change


def removed(name: str) -> Change:
    """Delete a file."""
    return lambda folder: (folder / name).unlink()


def copied(name: str, to: str) -> Change:
    """Put a copy of one file in place of another."""

    def change(folder: Path) -> None:
        (folder / to).write_bytes((folder / name).read_bytes())

    return change


def with_json(name: str, **entries: object) -> Change:
    """Set entries of a JSON file."""

    def change(folder: Path) -> None:
        content = json.loads((folder / name).read_text("utf-8"))
        (folder / name).write_text(json.dumps(content | entries), "utf-8")

    return change


def with_line(name: str, number: int, line: bytes) -> Change:
    """Put another line in place of one, counted from 1."""

    def change(folder: Path) -> None:
        lines = (folder / name).read_bytes().split(b"\n")
        lines[number - 1] = line
        (folder / name).write_bytes(b"\n".join(lines))

    return change


def foreign_safetensors(folder: Path) -> None:
    """The parameters of another network."""
    header = json.dumps({"weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    (folder / "run/model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))


def both_sides(folder: Path) -> None:
    """The training text as a directory of splits."""
    (folder / "splits").mkdir()
    for side in ("en", "ja"):
        (folder / f"splits/train.{side}").write_bytes((folder / f"train.{side}").read_bytes())


def damaged_parquet(folder: Path) -> None:
    """A table whose description is whole and whose rows are not."""
    import pyarrow
    from pyarrow import parquet

    (folder / "table").mkdir()
    path = folder / "table/train.parquet"
    text = [f"the cat number {number}" for number in range(100)]
    parquet.write_table(pyarrow.table({"source": text, "target": text}), path)
    content = path.read_bytes()
    path.write_bytes(content[:4] + bytes(200) + content[204:])


class _Exploding:
    """What a pickle file may hold: a call that is made when it is read."""

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, ("opened-by-a-pickle", "w")


def _train(*settings: str) -> str:
    return "train config.yaml --out new --quiet " + " ".join(f"--set {setting}" for setting in settings)


_TSV = "data.train.source=pairs.tsv data.train.target=null"
_JSONL = "data.train.source=pairs.jsonl data.train.target=null"
_GZIP = gzip.compress(b"the cat sat .\n" * 200, mtime=0)
_ONE_FILE = ("data.train.target=null",)

TRAINING_TEXT = [
    Case("missing source", _train("data.train.source=nowhere.en"), ("nowhere.en: no such file",)),
    Case("missing validation", _train("data.validation.target=nowhere.ja"), ("nowhere.ja: no such file",)),
    Case("a directory as source", _train("data.train.source=run"), ("run: is a directory",)),
    Case(
        "unreadable source",
        _train("data.train.source=/proc/self/mem"),
        ("/proc/self/mem: cannot be read (Input/output error)",),
    ),
    Case(
        "unequal numbers of lines",
        _train(),
        ("unequal numbers of lines: train.en has 80, train.ja has 2",),
        {"train.ja": "猫\n犬\n"},
    ),
    Case(
        "unequal numbers of lines, one file empty",
        _train(),
        ("unequal numbers of lines: train.en has 80, train.ja has 0",),
        {"train.ja": ""},
    ),
    Case(
        "source not UTF-8",
        _train(),
        ("train.en, line 7: not UTF-8 (byte 0xe9 at position 4)", "--skip-bad-lines"),
        change=with_line("train.en", 7, b"caf\xe9"),
    ),
    Case(
        "validation not UTF-8",
        _train(),
        ("validation.ja, line 2: not UTF-8",),
        change=with_line("validation.ja", 2, b"\x82\xa0"),
    ),
    Case(
        "source UTF-16",
        _train(),
        ("train.en, line 1: not UTF-8; it looks like UTF-16",),
        {"train.en": "the cat\n".encode("utf-16")},
    ),
    Case(
        "NUL byte",
        _train(),
        ("train.ja, line 3: a NUL byte at character 2",),
        change=with_line("train.ja", 3, b"a\x00b"),
    ),
    Case(
        "control character",
        _train(),
        ("train.en, line 4: the control character U+001B at character 1",),
        change=with_line("train.en", 4, b"\x1b[31mred"),
    ),
    Case(
        "empty side",
        _train(),
        ("train.en, line 5: empty", "--skip-bad-lines"),
        change=with_line("train.en", 5, b" "),
    ),
    Case(
        "empty corpus",
        _train(),
        ("train.en and train.ja: no sentence pairs; it is empty",),
        {"train.en": "", "train.ja": ""},
    ),
    Case(
        "empty validation text",
        _train(),
        ("validation.en and validation.ja: no sentence pairs; it is empty",),
        {"validation.en": "", "validation.ja": ""},
    ),
    Case(
        "nothing but bad lines",
        _train() + " --skip-bad-lines",
        ("train.en and train.ja: no sentence pairs (2 bad lines skipped)",),
        {"train.en": "\n\n", "train.ja": "猫\n犬\n"},
    ),
    Case(
        "every pair too long",
        _train("data.max_length=1"),
        ("no sentence pair is left of 80 read", "80 longer than 1 pieces"),
    ),
    Case(
        "truncated gzip",
        _train("data.train.source=train.en.gz"),
        ("train.en.gz: the gzip file is truncated",),
        {"train.en.gz": _GZIP[: len(_GZIP) // 2]},
    ),
    Case(
        "damaged gzip",
        _train("data.train.source=train.en.gz"),
        ("train.en.gz: the gzip file is damaged",),
        {"train.en.gz": _GZIP[:10] + b"\xff" * 20 + _GZIP[30:]},
    ),
    Case(
        "gzip by name alone",
        _train("data.train.source=train.en.gz"),
        ("train.en.gz: named .gz but not a gzip file",),
        {"train.en.gz": "the cat sat .\n"},
    ),
    Case(
        "TSV with too few columns",
        _train(*_TSV.split()),
        ("pairs.tsv, line 2: 1 column, at least 2 expected",),
        {"pairs.tsv": "a cat\t猫\na dog\n"},
    ),
    Case(
        "TSV without the named column",
        _train(*_TSV.split(), "data.train.source_column=english", "data.train.target_column=japanese"),
        ("pairs.tsv, line 1: no column named english; the header has en, ja",),
        {"pairs.tsv": "en\tja\na cat\t猫\n"},
    ),
    Case(
        "TSV column 0",
        _train(*_TSV.split(), "data.train.source_column=0"),
        ("pairs.tsv: columns are numbered from 1, got 0",),
        {"pairs.tsv": "a cat\t猫\n"},
    ),
    Case(
        "broken JSONL",
        _train(*_JSONL.split()),
        ("pairs.jsonl, line 2: not JSON",),
        {"pairs.jsonl": '{"source": "a cat", "target": "猫"}\n{"source": "a d\n'},
    ),
    Case(
        "JSONL without the key",
        _train(*_JSONL.split()),
        ("pairs.jsonl, line 1: no key 'source'; there are 'en', 'ja'",),
        {"pairs.jsonl": '{"en": "a cat", "ja": "猫"}\n'},
    ),
    Case(
        "JSONL of numbers",
        _train(*_JSONL.split()),
        ("pairs.jsonl, line 1: 'target' is not a string but int",),
        {"pairs.jsonl": '{"source": "a cat", "target": 1}\n'},
    ),
    Case(
        "JSONL of lists",
        _train(*_JSONL.split()),
        ("pairs.jsonl, line 1: expected a JSON object",),
        {"pairs.jsonl": "[1, 2]\n"},
    ),
    Case(
        "one side alone", _train(*_ONE_FILE), ("train.en: holds one side only", "name the other side's file")
    ),
    Case(
        "splits with their sides not named",
        _train("data.train.source=splits", *_ONE_FILE),
        ("splits: train has the sides en, ja; say which is which by source_column and target_column",),
        change=both_sides,
    ),
    Case(
        "no such split",
        _train("data.train.source=splits", *_ONE_FILE, "data.train.split=tune"),
        ("splits: no split tune", "it holds train.en, train.ja"),
        change=both_sides,
    ),
    Case(
        "broken Parquet",
        _train("data.train.source=table", *_ONE_FILE),
        ("table: cannot be read (Parquet magic bytes not found in footer",),
        {"table/train.parquet": b"PAR1 is not enough"},
    ),
    Case(
        "Parquet damaged inside",
        _train("data.train.source=table", *_ONE_FILE),
        ("table: cannot be read (",),
        change=damaged_parquet,
    ),
    Case(
        "word vocabulary larger than the text gives",
        _train("data.tokenizer.vocabulary_size=5000"),
        ("data.tokenizer.vocabulary_size: asked for 5,000 entries, but the text gives only",),
    ),
    Case(
        "pieces more than the text gives",
        _train("data.tokenizer.kind=bpe", "data.tokenizer.vocabulary_size=50000"),
        ("data.tokenizer.vocabulary_size: asked for 50,000 entries, but the text gives only",),
    ),
    Case(
        "vocabulary too small for the characters",
        _train("data.tokenizer.kind=unigram", "data.tokenizer.vocabulary_size=6"),
        ("data.tokenizer.vocabulary_size: 6 entries cannot hold the", "different characters"),
    ),
    Case(
        "no word frequent enough",
        _train("data.tokenizer.minimum_frequency=1000"),
        ("the text gives no vocabulary", "minimum_frequency"),
    ),
    Case(
        "Japanese words without the extra",
        _train("data.tokenizer.pre_tokenizer=words", "data.tokenizer.target_language=ja"),
        ('pip install "shisen[ja]"',),
        blocked="fugashi",
    ),
]

CONFIGURATIONS = [
    Case("no configuration", "train --out new", ("CONFIG.yaml is missing", "--print-config")),
    Case("no --out", "train config.yaml", ("--out DIR is missing",)),
    Case(
        "missing configuration",
        "train nowhere.yaml --out new",
        ("nowhere.yaml: the configuration cannot be read (No such file or directory)",),
    ),
    Case(
        "a directory as configuration",
        "train run --out new",
        ("run: the configuration cannot be read (Is a directory)",),
    ),
    Case(
        "empty YAML",
        "train empty.yaml --out new",
        ("empty.yaml: the section data is missing",),
        {"empty.yaml": ""},
    ),
    Case(
        "YAML syntax",
        "train bad.yaml --out new",
        ("bad.yaml, line 3: not valid YAML: expected ',' or ']'",),
        {"bad.yaml": "model:\n  cell: [gru\ndata: {}\n"},
    ),
    Case(
        "YAML with a tab",
        "train bad.yaml --out new",
        ("bad.yaml, line 2: not valid YAML",),
        {"bad.yaml": "model:\n\tcell: gru\n"},
    ),
    Case(
        "YAML that would run code",
        "train bad.yaml --out new",
        ("bad.yaml, line 1: not valid YAML",),
        {"bad.yaml": "data: !!python/object/apply:os.system ['touch harm']\n"},
    ),
    Case(
        "YAML of a list",
        "train bad.yaml --out new",
        ("bad.yaml: expected the sections data, model and training, and found a list",),
        {"bad.yaml": "- model\n"},
    ),
    Case(
        "a configuration not UTF-8",
        "train bad.yaml --out new",
        ("bad.yaml: not UTF-8",),
        {"bad.yaml": b"data: caf\xe9\n"},
    ),
    Case(
        "a configuration with a date for a key",
        "train bad.yaml --out new",
        ("bad.yaml: a key is not text, or a value holds itself",),
        {"bad.yaml": "training: {2024-01-01: x}\n"},
    ),
    Case(
        "a configuration that holds itself",
        "train bad.yaml --out new",
        ("bad.yaml: a value holds itself",),
        {"bad.yaml": "model: &model {attention: *model}\n"},
    ),
    Case(
        "a configuration nested too deeply",
        "train bad.yaml --out new",
        ("bad.yaml: nested too deeply",),
        {"bad.yaml": "[" * 5000 + "\n"},
    ),
    Case(
        "a configuration with a NUL byte",
        "train bad.yaml --out new",
        ("bad.yaml: not valid YAML",),
        {"bad.yaml": b"data: a\x00b\n"},
    ),
    Case(
        "a key twice",
        "train bad.yaml --out new",
        ("bad.yaml, line 3: model.cell is set twice (first in line 2)",),
        {"bad.yaml": "model:\n  cell: gru\n  cell: lstm\n"},
    ),
    Case(
        "unknown key in the file",
        "train bad.yaml --out new",
        ("bad.yaml, line 3: unknown key model.atention; did you mean model.attention?",),
        {"bad.yaml": "data: {train: {source: train.en, target: train.ja}}\nmodel:\n  atention: none\n"},
    ),
    Case(
        "unknown key by --set",
        _train("training.batchsize=3"),
        ("--set training.batchsize=3: unknown key training.batchsize; did you mean training.batch_size?",),
    ),
    Case(
        "a key in the wrong section",
        _train("model.batch_size=3"),
        ("unknown key model.batch_size; did you mean training.batch_size?",),
    ),
    Case("unknown section", _train("trainig.seed=3"), ("unknown key trainig; did you mean training?",)),
    Case("--set without =", _train("training.seed"), ("--set training.seed: expected section.key=value",)),
    Case(
        "--set of a section",
        _train("model=3"),
        ("--set model=3: model is a section of keys, and is given as 3",),
    ),
    Case(
        "above its range",
        _train("model.dropout=1.5"),
        ("--set model.dropout=1.5: model.dropout is 1.5; allowed: a number, at least 0 and below 1",),
    ),
    Case(
        "below its range",
        _train("training.batch_size=0"),
        ("training.batch_size is 0; allowed: a whole number, at least 1",),
    ),
    Case(
        "not a number",
        _train("training.learning_rate=.nan"),
        ("training.learning_rate is nan; allowed: a number, above 0 and at most 10",),
    ),
    Case(
        "of a wrong type",
        _train("model.hidden_size=large"),
        ("model.hidden_size is 'large'; allowed: a whole number, at least 1",),
    ),
    Case(
        "a number where yes or no is meant",
        _train("model.bidirectional=3"),
        ("model.bidirectional is 3; allowed: true or false",),
    ),
    Case(
        "a fraction where a whole number is meant",
        _train("training.max_steps=2.5"),
        ("training.max_steps is 2.5; allowed: a whole number, at least 1",),
    ),
    Case(
        "unknown attention",
        _train("model.attention=luong"),
        (
            "model.attention is 'luong'; allowed: one of",
            "none, bahdanau, luong-dot, luong-general, luong-concat, local-m, local-p",
        ),
    ),
    Case(
        "a window of nothing",
        _train("model.attention=local-p", "model.attention_window=0"),
        ("model.attention_window is 0; allowed: a whole number, at least 1",),
    ),
    Case(
        "coverage for a score that cannot read it",
        _train("model.attention=local-m", "model.coverage=true"),
        ("coverage needs the attention bahdanau or luong-concat, and it is local-m",),
    ),
    Case(
        "unknown attention function",
        _train("model.attention_function=argmax"),
        ("model.attention_function is 'argmax'; allowed: one of softmax, sparsemax, entmax15",),
    ),
    Case(
        "sparse weights without the extra",
        _train("model.attention_function=sparsemax"),
        ("the attention function sparsemax needs an extra", 'pip install "shisen[entmax]"'),
        blocked="entmax",
    ),
    Case("unknown cell", _train("model.cell=rnn"), ("model.cell is 'rnn'; allowed: one of gru, lstm",)),
    Case(
        "unknown kind of tokenizer",
        _train("data.tokenizer.kind=sentencepiece"),
        ("data.tokenizer.kind is 'sentencepiece'; allowed: one of word, bpe, unigram, character",),
    ),
    Case(
        "schedule without an end",
        _train("training.schedule=linear", "training.max_steps=null", "training.max_epochs=null"),
        ("schedule linear falls to zero at the end; set max_steps or max_epochs",),
    ),
    Case(
        "schedule without warm-up",
        _train("training.schedule=inverse-sqrt"),
        ("schedule inverse-sqrt needs warmup_steps of at least 1",),
    ),
    Case(
        "plateau without validation",
        _train("training.schedule=plateau", "data.validation=null"),
        ("training.schedule plateau needs validations; set data.validation",),
    ),
    Case(
        "no such device",
        _train("training.device=cuda"),
        ("training.device", "cuda"),
    ),
    Case(
        "TensorBoard without the extra",
        _train("training.tensorboard=true"),
        ('pip install "shisen[tensorboard]"',),
        blocked="tensorboard",
    ),
]

OUTPUTS_OF_TRAINING = [
    Case(
        "a directory that holds a run",
        "train config.yaml --out run",
        ("run already holds a run", "--resume", "--out"),
    ),
    Case(
        "a directory that holds other things",
        "train config.yaml --out papers",
        ("papers is not empty; name a new directory",),
        {"papers/thesis.tex": "…"},
    ),
    Case("a file", "train config.yaml --out lines.txt", ("lines.txt is a file; name a new directory",)),
    Case(
        "under a file",
        "train config.yaml --out lines.txt/new",
        ("lines.txt/new cannot be made: Not a directory",),
    ),
    Case("not writable", "train config.yaml --out /proc/new", ("/proc/new cannot be made",)),
    Case(
        "a disk full from the start",
        "train config.yaml --out new --quiet",
        ("new/config.yaml could not be written",),
        code=1,
        file_limit=100,
    ),
    Case(
        "a disk full at the tokenizers",
        "train config.yaml --out new --quiet",
        ("new/cache", "could not be written: File too large"),
        code=1,
        file_limit=4096,
    ),
    Case(
        "a disk full at the checkpoint",
        "train config.yaml --out new --quiet",
        ("new/", "could not be written", "File too large"),
        code=1,
        leaves="new",
        file_limit=16_384,
    ),
    Case(
        "going on where there is no run",
        "train config.yaml --out new --resume",
        ("new holds no run to resume",),
    ),
    Case("going on where there is nothing", "train --out new --resume", ("new holds no run to resume",)),
    Case(
        "going on with another configuration",
        "train config.yaml --out run --resume --set model.cell=lstm --set training.learning_rate=0.1",
        ("changed: model.cell, training.learning_rate", "run/config.yaml"),
    ),
    Case(
        "going on from a truncated checkpoint",
        "train --out run --resume --quiet --set training.max_steps=3",
        ("run/checkpoints/last.safetensors cannot be read as a checkpoint",),
        change=truncated("run/checkpoints/last.safetensors"),
    ),
    Case(
        "going on from parameters",
        "train --out run --resume --quiet --set training.max_steps=3",
        ("run/checkpoints/last.safetensors cannot be read as a checkpoint",),
        change=copied("run/model.safetensors", "run/checkpoints/last.safetensors"),
    ),
    Case(
        "going on with other text",
        "train --out run --resume --quiet --set training.max_steps=3",
        ("run: the training data is not what the run was begun with",),
        change=with_line("train.en", 1, b"something else"),
    ),
    Case(
        "going on without the text",
        "train --out run --resume --quiet --set training.max_steps=3",
        ("train.en: no such file",),
        change=removed("train.en"),
    ),
]

MODEL_DIRECTORIES = [
    Case("missing", "translate nowhere lines.txt", ("nowhere does not exist",)),
    Case("a file", "translate lines.txt lines.txt", ("lines.txt is not a directory",)),
    Case(
        "an empty directory",
        "translate papers lines.txt",
        ("papers is not a model directory: it has no config.json",),
        {"papers/thesis.tex": "…"},
    ),
    Case(
        "a run that has not finished",
        "translate run lines.txt",
        ("run holds a training run that has not finished", "shisen train --out run --resume"),
        change=removed("run/model.safetensors"),
    ),
    Case(
        "truncated parameters",
        "translate run lines.txt",
        ("run/model.safetensors", "truncated"),
        change=truncated("run/model.safetensors"),
    ),
    Case(
        "empty parameters",
        "translate run lines.txt",
        ("run/model.safetensors", "truncated"),
        {"run/model.safetensors": b""},
    ),
    Case(
        "parameters of another network",
        "translate run lines.txt",
        ("run/model.safetensors does not fit config.json",),
        change=foreign_safetensors,
    ),
    Case(
        "parameters in a pickle",
        "translate run lines.txt",
        ("run/model.safetensors", "another kind of file"),
        {"run/model.safetensors": pickle.dumps(_Exploding())},
    ),
    Case(
        "config.json of another program",
        "translate run lines.txt",
        ("run/config.json has no source_vocabulary_size: it is of another program",),
        {"run/config.json": '{"architectures": ["MarianMTModel"], "d_model": 512}'},
    ),
    Case(
        "config.json truncated",
        "translate run lines.txt",
        ("run/config.json is not valid JSON",),
        change=truncated("run/config.json"),
    ),
    Case(
        "config.json of a list",
        "translate run lines.txt",
        ("run/config.json should hold a JSON object",),
        {"run/config.json": "[]"},
    ),
    Case(
        "config.json with another size",
        "translate run lines.txt",
        ("run/model.safetensors does not fit config.json", "should be"),
        change=with_json("run/config.json", model={"hidden_size": 16, "embedding_size": 8}),
    ),
    Case(
        "config.json with an unknown attention",
        "translate run lines.txt",
        ("run/config.json", "attention"),
        change=with_json("run/config.json", model={"attention": "flash"}),
    ),
    Case(
        "config.json with a coverage that the attention cannot read",
        "translate run lines.txt",
        ("run/config.json", "coverage needs the attention bahdanau or luong-concat, and it is luong-dot"),
        change=with_json("run/config.json", model={"attention": "luong-dot", "coverage": True}),
    ),
    Case(
        "sparse weights, and the extra is not installed",
        "translate run lines.txt",
        ('the attention function entmax15 needs an extra: pip install "shisen[entmax]"',),
        change=with_json("run/config.json", model={"attention_function": "entmax15"}),
        blocked="entmax",
    ),
    Case(
        "generation_config.json with a word",
        "translate run lines.txt",
        ("generation_config.json: beam_size should be a number, and is 'many'",),
        change=with_json("run/generation_config.json", beam_size="many"),
    ),
    Case(
        "generation_config.json out of range",
        "translate run lines.txt",
        ("beam_size is 0; it must be at least 1",),
        change=with_json("run/generation_config.json", beam_size=0),
    ),
    Case(
        "tokenizer truncated",
        "translate run lines.txt",
        ("run/source_tokenizer.json",),
        change=truncated("run/source_tokenizer.json"),
    ),
    Case(
        "tokenizer of another program",
        "translate run lines.txt",
        ("run/target_tokenizer.json",),
        {"run/target_tokenizer.json": '{"version": "1.0", "model": {"type": "BPE"}}'},
    ),
    Case(
        "tokenizer of a newer library",
        "translate run lines.txt",
        ("run/target_tokenizer.json",),
        change=with_json("run/target_tokenizer.json", tokenizer={"model": {"type": "Telepathy"}}),
    ),
    Case(
        "tokenizers exchanged",
        "translate run lines.txt",
        ("run/source_tokenizer.json has", "entries, but config.json says", "not of one model"),
        change=copied("run/target_tokenizer.json", "run/source_tokenizer.json"),
    ),
]

TRANSLATING = [
    Case("missing input", "translate run nowhere.txt", ("nowhere.txt: cannot be read (No such file",)),
    Case("a directory as input", "translate run run", ("run: cannot be read (Is a directory)",)),
    Case("unreadable input", "translate run /proc/self/mem", ("/proc/self/mem: cannot be read",)),
    Case(
        "100,000 words",
        "translate run long.txt",
        ("long.txt, line 2: 100,000 tokens; the longest sentence that is translated has 1,024",),
        {"long.txt": "the cat .\n" + "cat " * 100_000 + "\n"},
        prints=True,
    ),
    Case(
        "NUL byte",
        "translate run bad.txt --output out.txt --attention out.attn.safetensors",
        ("bad.txt, line 2: a NUL byte at character 4",),
        {"bad.txt": "the cat .\nthe\x00cat\n"},
    ),
    Case(
        "not UTF-8",
        "translate run bad.txt --output lines.txt",
        ("bad.txt, line 1: not UTF-8",),
        {"bad.txt": b"\xff\n"},
    ),
    Case(
        "truncated gzip",
        "translate run bad.gz --output out.txt",
        ("bad.gz: the gzip file is truncated",),
        {"bad.gz": _GZIP[:-12]},
    ),
    Case("beam of 0", "translate run lines.txt --beam-size 0", ("--beam-size", "1")),
    Case("beam of -1", "translate run lines.txt --beam-size -1", ("--beam-size", "1")),
    Case("beam of a word", "translate run lines.txt --beam-size many", ("--beam-size", "integer")),
    Case(
        "n-best beyond the beam",
        "translate run lines.txt --beam-size 2 --n-best 3",
        ("n_best is 3, but a beam of 2",),
    ),
    Case("negative penalty", "translate run lines.txt --length-penalty -1", ("--length-penalty",)),
    Case(
        "penalty that is no number",
        "translate run lines.txt --length-penalty nan",
        ("--length-penalty", "0"),
    ),
    Case(
        "minimum above maximum",
        "translate run lines.txt --max-length 2 --min-length 3",
        ("max_length is 2, less than min_length, 3",),
    ),
    Case("top-p of 0", "translate run lines.txt --sample --top-p 0", ("top_p is 0.0; it must be above 0",)),
    Case("no such device", "translate run lines.txt --device abacus", ("there is no device 'abacus'",)),
    Case("unknown option", "translate run lines.txt --beams 3", ("--beams", "translate --help")),
    Case("unknown verb", "transalte run lines.txt", ("transalte", "shisen --help")),
    Case("no model", "translate", ("MODEL_DIR", "translate --help")),
    Case(
        "output to a full disk",
        "translate run lines.txt --output /dev/full",
        ("/dev/full could not be written: No space left on device",),
        code=1,
    ),
    Case(
        "attention to a full disk",
        "translate run lines.txt --attention out.attn.safetensors",
        ("out.attn.safetensors could not be written: File too large",),
        code=1,
        prints=True,
        file_limit=512,
    ),
    Case(
        "more than memory holds",
        "translate run lines.txt --sample --max-length 10000000000000",
        ("out of memory", "--max-length"),
        code=1,
    ),
    Case(
        "output to a directory",
        "translate run lines.txt --output run",
        ("run is a directory; a file to write",),
    ),
    Case(
        "output to no directory",
        "translate run lines.txt --output nowhere/out.txt",
        ("nowhere/out.txt cannot be written: there is no directory",),
    ),
    Case(
        "attention to no directory",
        "translate run lines.txt --attention nowhere/out.attn.safetensors",
        ("nowhere/out.attn.safetensors cannot be written: there is no directory",),
    ),
]

_EVALUATE = "evaluate run --data test.en --reference test.ja --beam-size 1 --bootstrap 0 "

EVALUATING = [
    Case("missing model", "evaluate nowhere --data test.en --reference test.ja", ("nowhere does not exist",)),
    Case("missing data", "evaluate run --data nowhere.tsv", ("nowhere.tsv: no such file",)),
    Case(
        "missing reference",
        "evaluate run --data test.en --reference nowhere.ja",
        ("nowhere.ja: no such file",),
    ),
    Case(
        "unequal numbers of lines",
        "evaluate run --data test.en --reference train.ja",
        ("unequal numbers of lines: test.en has 10, train.ja has 80",),
    ),
    Case(
        "empty test set",
        "evaluate run --data test.tsv",
        ("test.tsv: no sentence pairs; it is empty",),
        {"test.tsv": ""},
    ),
    Case(
        "source of 100,000 words",
        "evaluate run --data test.tsv --tokenize none",
        ("100,000 tokens; the longest sentence that is translated has 1,024",),
        {"test.tsv": "cat " * 100_000 + "\t猫\n"},
    ),
    Case(
        "unknown tokenisation",
        _EVALUATE + "--tokenize 14a",
        ("unknown tokenisation '14a'", "13a"),
    ),
    Case(
        "missing alignments", _EVALUATE + "--align-gold nowhere", ("nowhere: cannot be read (No such file",)
    ),
    Case(
        "alignments of another test set",
        _EVALUATE + "--align-gold train.align",
        ("train.align has 80 lines, but the data have 10 sentence pairs",),
        {"train.align": "0-0\n" * 80},
    ),
    Case(
        "alignments that are none",
        _EVALUATE + "--align-gold test.align",
        ("test.align, line 3: '0:0' is not a link; expected source-target",),
        change=with_line("test.align", 3, b"0:0"),
    ),
    Case(
        "alignments beyond the sentence",
        _EVALUATE + "--align-gold test.align",
        ("test.align, line 2: a link names source word 400 (from 0)", "--one-based"),
        change=with_line("test.align", 2, b"400-0"),
    ),
    Case(
        "alignments from 0 read from 1",
        _EVALUATE + "--align-gold test.align --one-based",
        ("test.align, line 1: link", "names word 0, but words are counted from 1"),
    ),
    Case(
        "alignments in binary",
        _EVALUATE + "--align-gold bad.align",
        ("bad.align, line 2: not UTF-8",),
        {"bad.align": b"0-0\n\xff\xfe\n"},
    ),
    Case("a threshold above 1", _EVALUATE + "--align-gold test.align --threshold 2", ("--threshold", "1")),
    Case("a negative seed", _EVALUATE + "--seed -1", ("--seed",)),
    Case(
        "scores to a full disk",
        _EVALUATE + "--out /dev/full",
        ("/dev/full could not be written",),
        code=1,
        begins=True,
    ),
    Case(
        "translations to a directory",
        _EVALUATE + "--hypotheses run",
        ("run is a directory; a file to write is wanted",),
    ),
    Case(
        "scores to no directory",
        _EVALUATE + "--out nowhere/scores.json",
        ("nowhere/scores.json cannot be written: there is no directory",),
    ),
    Case("a system alone", "compare-systems lines.txt --reference lines.txt", ("two systems or more",)),
    Case(
        "systems without references",
        "compare-systems lines.txt lines.txt",
        ("give --reference or --data",),
    ),
    Case(
        "a model without sources",
        "compare-systems run lines.txt --reference lines.txt",
        ("run is a model directory, which needs source sentences: give --data",),
    ),
    Case(
        "too few translations",
        "compare-systems lines.txt two.txt --reference lines.txt",
        ("two.txt has 2 lines, but there are 3 references",),
        {"two.txt": "a\nb\n"},
    ),
    Case(
        "no references",
        "compare-systems empty.txt empty.txt --reference empty.txt",
        ("empty.txt: holds no line; there is nothing to compare",),
        {"empty.txt": ""},
    ),
    Case(
        "a missing system",
        "compare-systems lines.txt nowhere.txt --reference lines.txt",
        ("nowhere.txt: cannot be read (No such file",),
    ),
    Case(
        "a system not UTF-8",
        "compare-systems lines.txt bad.txt --reference lines.txt",
        ("bad.txt, line 2: not UTF-8",),
        {"bad.txt": b"a\n\xff\nb\n"},
    ),
    Case(
        "an unknown test",
        "compare-systems lines.txt lines.txt --reference lines.txt --test t-test",
        ("t-test", "bootstrap", "randomisation"),
    ),
    Case(
        "no draws",
        "compare-systems lines.txt lines.txt --reference lines.txt --draws 0",
        ("--draws", "1"),
    ),
]

_SENTENCE = "'the cat .'"

PLOTTING = [
    Case(
        "unknown extension",
        f"plot attention run {_SENTENCE} --out map.gif",
        ("map.gif: the extension .gif names no image format; use .png, .svg or .pdf",),
    ),
    Case("no extension", f"plot attention run {_SENTENCE} --out map", ("map: a name without extension",)),
    Case("no sentence", "plot attention run --out map.png", ("a sentence is missing",)),
    Case("an empty sentence", "plot attention run ' ' --out map.png", ("the sentence is empty",)),
    Case("missing model", f"plot attention nowhere {_SENTENCE} --out map.png", ("nowhere does not exist",)),
    Case(
        "missing map",
        "plot attention nowhere.attn.safetensors --out map.png",
        ("nowhere.attn.safetensors: no such file of attention maps",),
    ),
    Case(
        "parameters as a map",
        "plot attention run/model.safetensors --out map.png",
        ("run/model.safetensors: a safetensors file, but not a whole file of attention maps",),
    ),
    Case(
        "text as a map",
        "plot attention text.attn.safetensors --out map.png",
        ("text.attn.safetensors: not a whole file of attention maps",),
        {"text.attn.safetensors": "the cat\n" * 10},
    ),
    Case(
        "a layer that is not there",
        f"plot attention run {_SENTENCE} --layer 3 --out map.png",
        ("layer 3", "1"),
    ),
    Case(
        "a step that is not there",
        f"plot attention run {_SENTENCE} --bars 999 --out map.png",
        ("999",),
    ),
    Case(
        "unknown language", f"plot attention run {_SENTENCE} --language xx --out map.png", ("xx", "en", "ja")
    ),
    Case("a resolution of 1", f"plot attention run {_SENTENCE} --dpi 1 --out map.png", ("--dpi", "1")),
    Case(
        "a picture to a directory",
        f"plot attention run {_SENTENCE} --out pictures.png",
        ("pictures.png: is a directory",),
        {"pictures.png/note": ""},
    ),
    Case(
        "a picture under a file",
        f"plot attention run {_SENTENCE} --out lines.txt/map.png",
        ("lines.txt/map.png: its folder cannot be made",),
    ),
    Case(
        "a picture to a full disk",
        f"plot attention run {_SENTENCE} --out map.png",
        ("map.png could not be written: File too large",),
        code=1,
        file_limit=1024,
    ),
    Case(
        "a PDF to a full disk",
        "plot curves run --out curves.pdf",
        ("curves.pdf could not be written: File too large",),
        code=1,
        file_limit=512,
    ),
    Case("curves of nothing", "plot curves nowhere --out curves.png", ("nowhere: no such training log",)),
    Case(
        "curves of a directory without a log",
        "plot curves papers --out curves.png",
        ("papers/training_log.jsonl: no such training log",),
        {"papers/thesis.tex": "…"},
    ),
    Case(
        "curves of an empty log",
        "plot curves run --out curves.png",
        ("run/training_log.jsonl: the training log has no records yet",),
        {"run/training_log.jsonl": ""},
    ),
    Case(
        "curves of a damaged log",
        "plot curves run --out curves.png",
        ("run/training_log.jsonl: line 1 is not a record of a training log",),
        {"run/training_log.jsonl": '{"step": 1, "lo\n{"step": 2, "loss": 3.0}\n'},
    ),
    Case(
        "curves over an unknown axis",
        "plot curves run --x hours --out curves.png",
        ("step, epoch, seconds", "'hours'"),
    ),
    Case(
        "curves as a spreadsheet", "plot curves run --out curves.xlsx", ("curves.xlsx", ".png, .svg or .pdf")
    ),
]

_LANGUAGE = "train language.yaml --out new --quiet --set "

LANGUAGE_MODELS = [
    Case(
        "a target for one text",
        _LANGUAGE + "data.train.target=train.ja",
        ("language.yaml: data.train.target is for translation; the family language-model learns one text",),
    ),
    Case(
        "BLEU of one text",
        _LANGUAGE + "training.metric=bleu",
        ("language.yaml: training.metric bleu is for translation", "validation_loss"),
    ),
    Case(
        "a key of an encoder-decoder",
        _LANGUAGE + "model.encoder_layers=2",
        ("--set model.encoder_layers=2: unknown key model.encoder_layers",),
    ),
    Case("missing text", _LANGUAGE + "data.train.source=nowhere", ("nowhere: no such file",)),
    Case(
        "text not UTF-8",
        _LANGUAGE + "training.seed=2",
        ("train.en, line 7: not UTF-8 (byte 0xe9 at position 4)", "--skip-bad-lines"),
        change=with_line("train.en", 7, b"caf\xe9"),
    ),
    Case(
        "text of empty lines",
        _LANGUAGE + "training.seed=2",
        ("train.en: no lines; it is empty",),
        {"train.en": "\n \n"},
    ),
    Case(
        "every line too long",
        _LANGUAGE + "data.max_length=1",
        ("no line is left of 80 read (dropped: 80 longer than 1 pieces)",),
    ),
    Case(
        "JSONL of one text without the key",
        _LANGUAGE + "data.train.source=text.jsonl",
        ("text.jsonl, line 1: no key 'text'; there are 'source'",),
        {"text.jsonl": '{"source": "a cat"}\n'},
    ),
    Case(
        "splits with their sides not named, of one text",
        _LANGUAGE + "data.train.source=splits",
        ("splits: train has the sides en, ja; say which one by source_column",),
        change=both_sides,
    ),
    Case(
        "translating with a language model",
        "translate language lines.txt",
        ("language: a language model, which does not translate: use shisen generate",),
    ),
    Case(
        "evaluating a language model as a translator",
        "evaluate language --data test.en --reference test.ja",
        ("language: a language model, which does not translate: use shisen perplexity",),
    ),
    Case(
        "comparing a language model",
        "compare-systems run language --data test.en --reference test.ja",
        ("language: a language model, which does not translate",),
    ),
    Case(
        "going on with a translator",
        "generate run 'the cat'",
        ("run: a model that translates, not a language model: use shisen translate",),
    ),
    Case(
        "the perplexity of a translator",
        "perplexity run --data test.en",
        ("run: a model that translates, not a language model",),
    ),
    Case(
        "truncated parameters of a language model",
        "generate language 'the cat'",
        ("language/model.safetensors cannot be read as safetensors",),
        change=truncated("language/model.safetensors"),
    ),
    Case(
        "a stream that is not UTF-8",
        "perplexity language --data test.en",
        ("test.en, line 2: not UTF-8",),
        change=with_line("test.en", 2, b"\x82\xa0"),
    ),
    Case(
        "cross-attention of a language model",
        "plot attention language 'the cat sat' --kind cross --out map.png",
        ("language: has no attention of the kind cross; it has decoder",),
    ),
    Case(
        "self-attention of a recurrent model",
        "plot attention run 'the cat sat' --kind decoder --out map.png",
        ("run: has no attention of the kind decoder; it has cross",),
    ),
]

GENERATING = [
    Case("too few pairs", "corpus generate --pairs 2 --out new", ("--pairs 2: at least 3 are needed",)),
    Case("pairs in words", "corpus generate --pairs many --out new", ("--pairs", "integer")),
    Case("no --pairs", "corpus generate --out new", ("--pairs",)),
    Case(
        "too short",
        "corpus generate --pairs 10 --min-words 1 --out new",
        ("--min-words 1: must be from 2 to 300",),
    ),
    Case(
        "too long",
        "corpus generate --pairs 10 --max-words 301 --out new",
        ("--max-words 301: must be from 2 to 300",),
    ),
    Case(
        "shortest above longest",
        "corpus generate --pairs 10 --min-words 9 --max-words 8 --out new",
        ("--min-words 9 is more than --max-words 8",),
    ),
    Case(
        "nothing to train on",
        "corpus generate --pairs 10 --test-pairs 9 --out new",
        ("--pairs 10 leaves none to train on: 10 are for validation and testing",),
    ),
    Case(
        "more than there are",
        "corpus generate --pairs 100000 --min-words 2 --max-words 2 --out new",
        ("of 100000 different sentences of 2 to 2 words found", "fewer pairs or a wider range"),
    ),
    Case(
        "into a directory in use",
        "corpus generate --pairs 10 --out run",
        ("run: holds files already; nothing was overwritten",),
    ),
    Case("into a file", "corpus generate --pairs 10 --out lines.txt", ("lines.txt: is a file",)),
    Case(
        "under a file",
        "corpus generate --pairs 10 --out lines.txt/new",
        ("lines.txt/new: lines.txt is a file; name a new folder",),
    ),
    Case(
        "to a full disk",
        "corpus generate --pairs 20 --max-words 9 --out new",
        ("new: cannot write the corpus: File too large",),
        code=1,
        file_limit=512,
    ),
    Case(
        "demo into foreign files",
        "demo --out papers",
        ("papers: holds 'thesis.tex', which no demo wrote; nothing was touched",),
        {"papers/thesis.tex": "…", "papers/demo.json": "{}"},
        begins=True,
    ),
    Case(
        "demo to a full disk",
        "demo --out new",
        ("could not be written: File too large",),
        code=1,
        begins=True,
        file_limit=300,
    ),
    Case("demo into a file", "demo --out lines.txt", ("lines.txt: is a file",), begins=True),
    Case(
        "demo under a file", "demo --out lines.txt/new", ("lines.txt/new: lines.txt is a file",), begins=True
    ),
    Case(
        "demo with an unknown key",
        "demo --out new --set model.atention=none",
        ("unknown key model.atention; did you mean model.attention?",),
        begins=True,
    ),
    Case(
        "demo out of range",
        "demo --out new --set training.max_epochs=0",
        ("training.max_epochs is 0; allowed: a whole number, at least 1",),
        begins=True,
    ),
]

_MANIFEST = {
    "target": "onnx",
    "quantization": "float32",
    "exported_from": "0123456789abcdef",
    "shisen_version": "0.1.0",
    "config": {},
    "details": {},
}

EXPORTING = [
    Case("no such model", "export nowhere --to onnx --out new", ("model directory nowhere does not exist",)),
    Case("no target", "export run --out new", ("--to", "export --help")),
    Case("an unknown target", "export run --to tensorflow --out new", ("--to", "tensorflow", "ctranslate2")),
    Case("no place", "export run --to onnx", ("--out", "export --help")),
    Case(
        "a recurrent network to CTranslate2",
        "export run --to ctranslate2 --out new",
        ("run is a model of the family recurrent; CTranslate2 takes: transformer",),
    ),
    Case(
        "a recurrent network to transformers",
        "export run --to hf --out new",
        ("run is a model of the family recurrent; Hugging Face transformers takes: transformer",),
    ),
    Case(
        "a language model",
        "export language --to onnx --out new",
        ("language is a model of the family language-model; ONNX takes: recurrent or transformer",),
    ),
    Case(
        "16 bits in ONNX",
        "export run --to onnx --out new --quantization float16",
        ("ONNX is written as float32, int8 here, not as float16",),
    ),
    Case("4 bits", "export run --to onnx --out new --quantization int4", ("--quantization", "int4", "int8")),
    Case(
        "into a directory in use",
        "export run --to onnx --out papers",
        ("papers: holds files already; nothing was overwritten",),
        {"papers/thesis.tex": "…"},
    ),
    Case("into a file", "export run --to onnx --out lines.txt", ("lines.txt: is a file",)),
    Case("under a file", "export run --to onnx --out lines.txt/new", ("lines.txt/new: lines.txt is a file",)),
    Case(
        "without the package",
        "export run --to ctranslate2 --out new",
        ('exporting to ctranslate2 needs an extra: pip install "shisen[ctranslate2]"',),
        blocked="ctranslate2",
    ),
    Case(
        "a model that was not exported",
        "translate run lines.txt --engine ctranslate2",
        ("run is a model directory", "shisen export run --to ctranslate2 --out run-ctranslate2"),
    ),
    Case(
        "no such engine",
        "translate run lines.txt --engine abacus",
        ("unknown engine 'abacus'; choose one of torch, ctranslate2",),
    ),
    Case(
        "translating with graphs",
        "translate graphs lines.txt",
        ("graphs was exported to onnx, which shisen does not translate with",),
        {"graphs/shisen_export.json": json.dumps(_MANIFEST)},
    ),
    Case(
        "an export of which the half is missing",
        "translate half lines.txt",
        ("half/generation_config.json cannot be read",),
        {"half/shisen_export.json": json.dumps({**_MANIFEST, "target": "ctranslate2"})},
    ),
    Case(
        "a manifest that is none",
        "translate half lines.txt",
        ("half/shisen_export.json is no manifest of an exported model", "export it again"),
        {"half/shisen_export.json": "{}"},
    ),
]

_ANALYZE = "analyze run --data test.en --reference test.ja --out report "

ANALYZING = [
    Case("missing model", _ANALYZE.replace("run", "nowhere"), ("nowhere does not exist",)),
    Case("missing data", "analyze run --data nowhere.tsv --out report", ("nowhere.tsv: no such file",)),
    Case("missing gold", _ANALYZE + "--gold nowhere", ("nowhere: cannot be read",)),
    Case(
        "gold of other sentences",
        _ANALYZE + "--gold gold",
        ("gold has 1 lines, but the data have 10 sentence pairs",),
        {"gold": "0-0\n"},
    ),
    Case("a file as folder", _ANALYZE.replace("report", "test.en"), ("test.en is a file",)),
    Case(
        "saved maps that are none",
        "analyze maps.safetensors --out report",
        ("not a whole file",),
        {"maps.safetensors": "maps"},
    ),
    Case("language model", "analyze language --data test.en --out report", ("which does not translate",)),
    Case(
        "a disk full at the page",
        _ANALYZE,
        ("report.json could not be written",),
        code=1,
        file_limit=4096,
        leaves="report",
    ),
]

_HEADS = "heads run --data test.en --reference test.ja --out report "

HEADS = [
    Case("missing model", _HEADS.replace("run", "nowhere"), ("nowhere does not exist",)),
    Case("a file as folder", _HEADS.replace("report", "test.en"), ("test.en is a file",)),
    Case("no data", "heads run --out report", ("--data is missing",)),
    Case("no such language", _HEADS + "--language fr", ("one of en, ja, not 'fr'",)),
    Case(
        "importance without references",
        "heads run --data test.en --out report --importance",
        ("--importance measures how well references are predicted",),
    ),
    Case(
        "importance of saved maps",
        "heads maps.npy --out report --importance",
        ("are for models; saved attention",),
        {"maps.npy": "maps"},
    ),
    Case(
        "values of saved maps",
        "heads maps.npy --out report --by-values",
        ("--by-values are for models",),
        {"maps.npy": "maps"},
    ),
    Case(
        "saved maps that are none",
        "heads maps.safetensors --out report",
        ("not a whole file",),
        {"maps.safetensors": "maps"},
    ),
]

TABLES = {
    "training text": TRAINING_TEXT,
    "configuration": CONFIGURATIONS,
    "output of training": OUTPUTS_OF_TRAINING,
    "model directory": MODEL_DIRECTORIES,
    "translating": TRANSLATING,
    "evaluating": EVALUATING,
    "analyzing": ANALYZING,
    "heads": HEADS,
    "plotting": PLOTTING,
    "language models": LANGUAGE_MODELS,
    "generating": GENERATING,
    "exporting": EXPORTING,
}
