"""From nothing to translations and the attention behind them, in a few minutes on two processor cores.

The demo generates a corpus from the embedded grammar, trains a small model on it, scores it on sentences that
it has not seen, and draws what it looked at. All that it writes lies in one folder, which the next run
replaces.
"""

import json
import os
import re
import shlex
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from shisen import __version__
from shisen.data.embedded.corpus import CorpusRequest, write_corpus
from shisen.data.embedded.derivation import SentencePair
from shisen.data.embedded.grammar import embedded_grammar
from shisen.data.embedded.parser import parse
from shisen.errors import RunError, UserError
from shisen.evaluation.system import Evaluation, evaluate_system
from shisen.files import check_free, leftovers, write_atomically
from shisen.pipelines import Translation, Translator
from shisen.plotting import plot_heatmap, save_figure
from shisen.training.config import Config
from shisen.training.config_file import dump_config, load_config
from shisen.training.model_card import attention_in_words
from shisen.training.run import train

MARK = "demo.json"
"""The file by which the demo knows a folder as its own."""

_WRITTEN = {MARK, "config.yaml", "corpus", "model", "heatmaps", "translations.tsv", "scores.json"}

# How a corpus is named while it is written: what is so named was left when a demo was killed.
_CORPUS_ASIDE = re.compile(r"\.corpus\.partial-\d+")

REQUEST = CorpusRequest(pairs=20_800, seed=1, min_words=4, max_words=12, validation_pairs=300, test_pairs=500)
"""The corpus of the demo."""

_BEAM_SIZE = 5

Say = Callable[[str], None]


@dataclass(frozen=True)
class DemoReport:
    """What the demo measured and where it lies.

    Args:
        folder: all that was written.
        bleu: on the words of the held-out sentences.
        aer: alignment error rate of the attention, 0 to 1.
        exact: the share of held-out sentences translated exactly.
        train_seconds: from the text files to the model directory.
        samples: (source, translation, reference) of some held-out sentences, and of the examples.
    """

    folder: Path
    bleu: float
    aer: float
    exact: float
    train_seconds: float
    samples: tuple[tuple[str, str, str], ...]


def run_demo(
    folder: Path,
    request: CorpusRequest = REQUEST,
    overrides: Sequence[str] = (),
    quiet: bool = False,
    say: Say = print,
) -> DemoReport:
    """Generate, train, translate, score and draw.

    Args:
        folder: where to write: a new or empty folder, or that of an earlier demo, which is replaced.
        request: the corpus; the test pairs are those scored.
        overrides: settings of the training, as ``shisen train --set`` takes them (``training.max_epochs=1``).
        quiet: show no progress of the training.
        say: told in a line what is being done.

    Raises:
        UserError: the folder holds something that no demo wrote; nothing is touched.
    """
    config = _configure(folder, overrides)  # before an earlier result is cleared away
    claim(folder)
    say(f"1. Generating {request.pairs:,} English-Japanese sentence pairs with the embedded grammar")
    splits = write_corpus(request, folder / "corpus")
    write_atomically(folder / "config.yaml", dump_config(config))

    say(
        f"2. Training a {config.model.family} model with {attention_in_words(config.model)} "
        f"on {len(splits['train']):,} of them"
    )
    started = time.perf_counter()
    train(config, folder / "model", quiet=quiet, command=_command(folder, overrides))
    train_seconds = time.perf_counter() - started

    say(f"3. Translating {len(splits['test']):,} held-out sentences and scoring translations and attention")
    translator = Translator.load(folder / "model")
    evaluation = _evaluate(translator, splits["test"])
    exact = _write_translations(folder / "translations.tsv", translator, splits["test"], evaluation)

    say("4. Drawing what the model looked at")
    shown = [*_examples(), *_shown(splits["test"])]
    translations = translator.translate([pair.source for pair in shown], beam_size=_BEAM_SIZE)
    for number, (pair, translation) in enumerate(zip(shown, translations, strict=True), start=1):
        _draw(folder / "heatmaps" / f"{number}-{_slug(pair.source)}", translation)

    assert evaluation.alignment is not None
    report = DemoReport(
        folder,
        evaluation.scores.bleu.value,
        evaluation.alignment.error_rate,
        exact,
        train_seconds,
        tuple(
            (pair.source, translation.text, pair.target.replace(" ", ""))
            for pair, translation in zip(shown, translations, strict=True)
        ),
    )
    _write_scores(folder / "scores.json", report, evaluation, request)
    return report


def claim(folder: Path) -> None:
    """Make the folder ready: new, empty, or cleared of what an earlier demo left, even one that was killed.

    Raises:
        UserError: the folder holds something that no demo wrote; nothing is touched.
    """
    if not folder.is_dir():
        check_free(folder)
    present = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    left = _left_by_a_kill(folder) if present else set()
    foreign = sorted(present - _WRITTEN - left)
    if foreign or (present - left and MARK not in present):
        what = f"{foreign[0]!r}, which" if foreign else "files that"
        raise UserError(
            f"{folder}: holds {what} no demo wrote; nothing was touched, name a new folder with --out"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in sorted(present - {MARK}):
            path = folder / name
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        mark = {"written_by": "shisen demo", "shisen_version": __version__}
        write_atomically(folder / MARK, json.dumps(mark, indent=2) + "\n")
    except OSError as error:
        raise RunError(f"{folder}: cannot write here: {error.strerror}") from error


def _left_by_a_kill(folder: Path) -> set[str]:
    """The names of what a demo was writing when it was killed."""
    files = {path.name for path, name in leftovers(folder) if name in _WRITTEN}
    return files | {path.name for path in folder.iterdir() if _CORPUS_ASIDE.fullmatch(path.name)}


def settings(folder: Path) -> dict[str, Any]:
    """The configuration of the training, kept as ``config.yaml``."""
    corpus = folder / "corpus"
    return {
        "data": {
            "train": {"source": str(corpus / "train.en"), "target": str(corpus / "train.ja")},
            "validation": {"source": str(corpus / "validation.en"), "target": str(corpus / "validation.ja")},
            "tokenizer": {
                "kind": "word",
                "pre_tokenizer": "punctuation",  # reads "the mat." as people type it
                "lowercase": True,
                "source_language": "en",
                "target_language": "ja",
            },
        },
        "model": {
            "attention": "bahdanau",
            "cell": "gru",
            "embedding_size": 128,
            "hidden_size": 128,
            "dropout": 0.1,
        },
        "training": {
            "batch_size": 64,
            "learning_rate": 3e-3,
            "warmup_steps": 100,
            "schedule": "cosine",
            "label_smoothing": 0.0,
            "max_epochs": 7,
            "max_minutes": 2.8,  # reading and writing around it included, training stays below three
            "average_last": 0,
        },
    }


def _command(folder: Path, overrides: Sequence[str]) -> str:
    """What to type for the same again."""
    words = (word for override in overrides for word in ("--set", override))
    return shlex.join(["shisen", "demo", "--out", str(folder), *words])


def _configure(folder: Path, overrides: Sequence[str]) -> Config:
    with tempfile.TemporaryDirectory() as aside:
        path = Path(aside) / "config.yaml"
        try:
            path.write_text(yaml.safe_dump(settings(folder)), encoding="utf-8")
        except OSError as error:
            raise RunError(f"{path} could not be written: {error.strerror}") from error
        return load_config(path, overrides)


def _evaluate(translator: Translator, test: Sequence[SentencePair]) -> Evaluation:
    return evaluate_system(
        translator,
        [(pair.source, pair.target) for pair in test],
        [pair.alignment for pair in test],
        tokenize="none",  # the words are those of the grammar
        decoding={"beam_size": _BEAM_SIZE},
    )


def _examples() -> list[SentencePair]:
    """The two sentences of the documentation, which are part of the training text."""
    return [parse(embedded_grammar(), source)[0] for source, _ in embedded_grammar().examples]


def _shown(test: Sequence[SentencePair]) -> Iterator[SentencePair]:
    """Held-out sentences to show: the first with a relative clause, a reason, a comparison, a question."""
    for pattern in (r"\bthe \w+ (?:who|that) ", r" because ", r" than ", r"\?$"):
        found = (pair for pair in test if re.search(pattern, pair.source) and len(pair.source.split()) > 6)
        yield from [pair for pair in [next(found, None)] if pair is not None]


def _slug(sentence: str) -> str:
    """A file name for a sentence: its first words."""
    return "-".join(re.findall(r"[a-z]+", sentence.lower())[:6])


def _draw(stem: Path, translation: Translation) -> None:
    figure = plot_heatmap(translation.attention["cross"])
    for kind in ("png", "svg"):
        save_figure(figure, stem.with_suffix(f".{kind}"))


def _write_translations(
    path: Path, translator: Translator, test: Sequence[SentencePair], evaluation: Evaluation
) -> float:
    """Write every held-out sentence with translation and reference; return the share that is exact."""
    detokenize = translator.target_tokenizer.detokenize
    lines = ["source\ttranslation\treference\n"]
    right = 0
    for pair, hypothesis in zip(test, evaluation.hypotheses, strict=True):
        sentences = (pair.source, detokenize(hypothesis.split()), detokenize(pair.target.split()))
        lines.append("\t".join(sentences) + "\n")
        right += hypothesis == pair.target
    write_atomically(path, "".join(lines))
    return right / len(test)


def _write_scores(path: Path, report: DemoReport, evaluation: Evaluation, request: CorpusRequest) -> None:
    scores = {
        "bleu": report.bleu,
        "aer": report.aer,
        "exact_match": report.exact,
        "train_seconds": round(report.train_seconds, 1),
        "corpus": {"command": request.command, "grammar_fingerprint": embedded_grammar().fingerprint},
        "processor_cores": os.cpu_count(),
        "evaluation": evaluation.as_dict(),
    }
    write_atomically(path, json.dumps(scores, indent=2, ensure_ascii=False) + "\n")
