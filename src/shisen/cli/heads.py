"""``shisen heads``: what every head of a model does, which are alike, and which the model needs."""

import sys
import time
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from shisen.adapters.loading import is_huggingface
from shisen.cli import common
from shisen.cli.attention_corpus import Corpus, check_folder, translations_of, versions
from shisen.cli.huggingface import check_options, maps_of
from shisen.errors import UserError

if TYPE_CHECKING:
    from shisen.inspection.heads import HeadsGatherer
    from shisen.pipelines import Translator

FILES = ("heads.html", "heads.csv", "heads.json")
COLUMNS = ("kind", "layer", "head", "pattern", "confidence", "runner_up", "entropy")


def heads(
    what: Path = typer.Argument(
        ...,
        metavar="MODEL_DIR|MAPS",
        help="A directory that `shisen train` wrote; hf: and the directory or id of a Hugging Face model; or "
        "a file of attention: .attn.safetensors, .json, .npy, .marian, .pharaoh.",
    ),
    data: str | None = typer.Option(
        None,
        help="Sentence pairs, through which the model is taken (a TSV or JSONL file, .gz too, a directory of "
        "splits, a Hub id; or two files, with --reference); or a file of sentences, which it translates.",
    ),
    out: Path = typer.Option(..., "--out", "-o", help="The folder for the page, the table and the pictures."),
    reference: common.Reference = None,
    split: common.Split = None,
    source_column: common.SourceColumn = None,
    target_column: common.TargetColumn = None,
    importance: bool = typer.Option(
        False,
        "--importance",
        help="Measure how much the model needs each head, on the first half of the pairs, and cut heads in "
        "that order on the other half; takes minutes.",
    ),
    points: int = typer.Option(12, min=2, help="Of the pruning curve: at how many numbers of heads to look."),
    random_orders: int = typer.Option(3, min=0, help="Of the pruning curve: how many random orders beside."),
    by_values: bool = typer.Option(
        False,
        "--by-values",
        help="Look at what a key adds to the context, not at its weight alone: weight times length of value.",
    ),
    sentences: int | None = typer.Option(None, min=1, help="Only the first so many sentences."),
    language: str = typer.Option("en", "--language", help="Of the page and the pictures: en or ja."),
    tokenize: common.Tokenize = None,
    batch_size: common.BatchSize = 100,
    device: common.Device = "cpu",
    quiet: bool = typer.Option(False, "--quiet", help="Print nothing but errors."),
) -> None:
    """Show the heads of a model: the pattern of each, how sure that is, which heads are alike.

    Writes heads.html, a page that needs no network, heads.csv, heads.json and pictures; prints the table.
    """
    from shisen.inspection.heads import HeadsGatherer
    from shisen.inspection.heads.words import check_language
    from shisen.inspection.readers import is_map_file

    check_language(language)
    check_folder(out, FILES)
    started = time.perf_counter()
    gatherer = HeadsGatherer()
    facts: dict[str, Any] = {"model": str(what)}
    parts: dict[str, Any] = {}
    if is_map_file(what):
        if data is not None or reference is not None or importance or by_values:
            raise UserError(
                "--data, --reference, --importance and --by-values are for models; saved attention is "
                "looked at as it is"
            )
        _gather_saved(gatherer, what, sentences)
    elif is_huggingface(what):
        check_options(importance=importance, by_values=by_values)
        corpus = Corpus.read(what, data, reference, split, source_column, target_column, sentences)
        facts["data"] = common.describe(str(data), reference)
        with common.progress(len(corpus.sources), "reading") as advance:
            for maps in maps_of(what, corpus, batch_size, device):
                gatherer.add(maps)
                advance(1)
    else:
        corpus = Corpus.read(what, data, reference, split, source_column, target_column, sentences)
        if importance and (corpus.targets is None or len(corpus.sources) < 2):
            raise UserError(
                "--importance measures how well references are predicted: --data needs both sides, of two "
                "pairs or more"
            )
        from shisen.pipelines import Translator

        translator = Translator.load(what, device)
        facts |= {
            "data": common.describe(str(data), reference),
            "fingerprint": translator.fingerprint,
        }
        translator.check_lengths(corpus.sources, corpus.targets or ())
        with common.progress(len(corpus.sources), "reading") as advance:
            for translation in translations_of(translator, corpus, batch_size):
                gatherer.add(_by_values(translator, translation) if by_values else translation.attention)
                advance(1)
        if by_values:
            facts["measure"] = "value-weighted"
        if importance:
            name = tokenize or (common.say_tokenization([translator], corpus.pairs))
            parts = _importance(translator, corpus.pairs, name, points, random_orders)
    facts |= {
        "command": common.command(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - started, 1),
        "versions": versions(),
    }
    report = gatherer.report(facts, **parts)
    report.write(out, language)
    if not quiet:
        _print_table(report.rows())
        print(out / "heads.html")


def _gather_saved(gatherer: "HeadsGatherer", path: Path, sentences: int | None) -> None:
    """The maps of a file, one after the other."""
    from shisen.inspection.readers import open_maps

    for attention_map in islice(open_maps(path), sentences):
        gatherer.add_map(attention_map)


def _by_values(translator: "Translator", translation: Any) -> dict[Any, Any]:
    """The maps of a translation weighed by the values; an empty one has none."""
    from shisen.inspection.value_weighted import weigh_by_values

    return weigh_by_values(translator, translation) if translation.tokens else {}


def _importance(
    translator: "Translator", pairs: list[tuple[str, str]], tokenize: str, points: int, random_orders: int
) -> dict[str, Any]:
    """How much every head is needed, on the first half of the pairs, and the pruning curve on the other."""
    from shisen.evaluation.scores import corpus_scores
    from shisen.inspection.head_importance import ablation_importance, gradient_importance, pruning_curve

    first, second = pairs[: len(pairs) // 2], pairs[len(pairs) // 2 :]
    references = [reference for _, reference in second]

    def bleu(hypotheses: Any) -> float:
        return corpus_scores(list(hypotheses), references, tokenize, samples=0).bleu.value

    with common.progress(1, "gradients") as advance:
        gradient = gradient_importance(translator, first)
        advance(1)
    ablation = _with_progress(
        "ablation", lambda progress: ablation_importance(translator, first, progress=progress)
    )
    curve = _with_progress(
        "pruning",
        lambda progress: pruning_curve(
            translator,
            second,
            (gradient.normalized(), ablation),
            score=bleu,
            points=points,
            random_orders=random_orders,
            progress=progress,
        ),
    )
    return {"importance": (gradient, ablation), "pruning": curve}


def _with_progress(what: str, work: Any) -> Any:
    """Do what takes a function (done, total), with a bar that follows it."""
    with common.progress(1000, what) as advance:
        shown = 0

        def follow(done: int, total: int) -> None:
            nonlocal shown
            now = 1000 * done // total
            advance(now - shown)
            shown = now

        return work(follow)


def _print_table(rows: list[dict[str, Any]]) -> None:
    """The heads, a line each."""
    columns = [*COLUMNS, *(name for name in rows[0] if name.startswith("importance_"))]
    cells = [columns] + [
        [f"{row[name]:.3f}" if isinstance(row[name], float) else str(row[name]) for name in columns]
        for row in rows
    ]
    widths = [max(len(row[column]) for row in cells) for column in range(len(columns))]
    for row in cells:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write(line.rstrip() + "\n")
