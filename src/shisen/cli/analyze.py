"""``shisen analyze``: a report on the attention of a model over a corpus, as a page and as numbers."""

import math
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
    from shisen.data.alignments import Alignment
    from shisen.inspection.report import ReportGatherer
    from shisen.pipelines import Translator


def analyze(
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
    out: Path = typer.Option(..., "--out", "-o", help="The folder for report.html and report.json."),
    reference: common.Reference = None,
    split: common.Split = None,
    source_column: common.SourceColumn = None,
    target_column: common.TargetColumn = None,
    gold: Path | None = typer.Option(
        None, help="Gold alignments in Pharaoh format (0-0 1p2), for the error rate of the attention."
    ),
    one_based: bool = typer.Option(False, "--one-based", help="The gold alignments count words from 1."),
    faithfulness: bool = typer.Option(
        False, "--faithfulness", help="Test whether attention explains the output; takes minutes."
    ),
    sentences: int | None = typer.Option(None, min=1, help="Only the first so many sentences."),
    language: str = typer.Option("en", "--language", help="Of the page: en or ja."),
    batch_size: common.BatchSize = 100,
    device: common.Device = "cpu",
    quiet: bool = typer.Option(False, "--quiet", help="Print nothing but errors."),
) -> None:
    """Report on attention: statistics, what the heads do, and sentences of the data that show how to read it.

    Writes one page that needs no network, report.html, and all its numbers, report.json.
    """
    from shisen.inspection.readers import is_map_file
    from shisen.inspection.report import ReportGatherer
    from shisen.inspection.report.words import check_language

    check_language(language)
    check_folder(out, ("report.html", "report.json"))
    started = time.perf_counter()
    gatherer = ReportGatherer()
    facts: dict[str, Any] = {"model": str(what)}
    parts: dict[str, Any] = {}
    if is_map_file(what):
        needless = {"--data": data, "--reference": reference, "--gold": gold, "--faithfulness": faithfulness}
        _check_none_given(needless)
        facts["reads"] = "saved"
        _gather_saved(gatherer, what, sentences)
    elif is_huggingface(what):
        check_options(gold=gold, one_based=one_based, faithfulness=faithfulness)
        corpus = Corpus.read(what, data, reference, split, source_column, target_column, sentences)
        facts["data"] = common.describe(str(data), reference)
        with common.progress(len(corpus.sources), "analysing") as advance:
            for maps in maps_of(what, corpus, batch_size, device):
                gatherer.add(maps)
                advance(1)
    else:
        corpus = Corpus.read(what, data, reference, split, source_column, target_column, sentences)
        alignments = _read_gold(gold, one_based, corpus)
        from shisen.pipelines import Translator

        translator = Translator.load(what, device)
        facts |= {
            "data": common.describe(str(data), reference),
            "reads": "own" if corpus.targets is None else "given",
            "fingerprint": translator.fingerprint,
        }
        if faithfulness:
            parts["faithfulness"] = _assess(translator, corpus)
        scores = _gather_model(gatherer, translator, corpus, alignments, batch_size)
        if scores is not None:
            facts["gold"], parts["alignment"] = str(gold), scores
    facts |= {
        "command": common.command(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - started, 1),
        "versions": versions(),
    }
    gatherer.report(facts, **parts).write(out, language)
    if not quiet:
        print(out / "report.html")


def _check_none_given(options: dict[str, Any]) -> None:
    for name, value in options.items():
        if value:
            raise UserError(f"{name} is for models; saved attention is analysed as it is: leave {name} out")


def _read_gold(gold: Path | None, one_based: bool, corpus: Corpus) -> "list[Alignment] | None":
    if gold is None:
        if one_based:
            raise UserError("--one-based is about the links of --gold, which was not given")
        return None
    if corpus.targets is None:
        raise UserError("--gold aligns sentence pairs, but --data has one side only; name a --reference")
    from shisen.data.alignments import read_alignments
    from shisen.evaluation.system import check_gold

    alignments = read_alignments(gold, one_based)
    if len(alignments) == corpus.total:
        alignments = alignments[: len(corpus.sources)]
    check_gold(alignments, corpus.pairs, str(gold))
    return alignments


def _gather_saved(gatherer: "ReportGatherer", path: Path, sentences: int | None) -> None:
    """The maps of a file, one after the other."""
    from shisen.inspection.readers import open_maps

    for attention_map in islice(open_maps(path), sentences):
        gatherer.add_map(attention_map)


def _gather_model(
    gatherer: "ReportGatherer",
    translator: "Translator",
    corpus: Corpus,
    alignments: "list[Alignment] | None",
    batch_size: int,
) -> dict[str, float] | None:
    """Every sentence's maps, and the scores of its alignment where there is gold."""
    from shisen.evaluation.alignment import NO_ALIGNMENTS, score_alignment
    from shisen.evaluation.system import attended_links

    translator.check_lengths(corpus.sources, corpus.targets or ())
    scores = NO_ALIGNMENTS
    with common.progress(len(corpus.sources), "analysing") as advance:
        for number, translation in enumerate(translations_of(translator, corpus, batch_size)):
            gatherer.add(translation.attention, [math.exp(one) for one in translation.log_probabilities])
            if alignments is not None and corpus.targets is not None:
                if "cross" not in translation.attention:
                    raise UserError("--gold: the model has no attention to align words by")
                source, target = corpus.sources[number], corpus.targets[number]
                links = attended_links(translator, source, target, translation.attention["cross"])
                scores += score_alignment(links, alignments[number].sure, alignments[number].possible)
            advance(1)
    return None if alignments is None else scores.as_dict()


def _assess(translator: "Translator", corpus: Corpus) -> Any:
    """The tests of faithfulness, on as many sentences as they take by themselves."""
    from shisen.inspection.faithfulness import FaithfulnessOptions, assess_faithfulness

    options = FaithfulnessOptions()
    given: Any = corpus.sources if corpus.targets is None else corpus.pairs
    total = min(len(given), options.sentences or len(given))
    with common.progress(total, "testing") as advance:
        return assess_faithfulness(translator, given, options, progress=lambda done, of: advance(1))
