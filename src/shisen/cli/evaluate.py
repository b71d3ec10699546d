"""``shisen evaluate``: how good a model's translations of a test set are."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from shisen.cli import common
from shisen.errors import UserError
from shisen.files import write_atomically

if TYPE_CHECKING:
    from shisen.evaluation.scores import Score
    from shisen.evaluation.system import Evaluation


def evaluate(
    model: common.ModelDirectory,
    data: str = typer.Option(
        ...,
        help="The test set: a TSV or JSONL file (.gz too), a directory of splits, a Hub id; or, with "
        "--reference, a file of source sentences.",
    ),
    reference: common.Reference = None,
    split: common.Split = None,
    source_column: common.SourceColumn = None,
    target_column: common.TargetColumn = None,
    align_gold: Path | None = typer.Option(
        None,
        help="Gold alignments in Pharaoh format (0-0 1p2), for the alignment error rate of the attention.",
    ),
    one_based: bool = typer.Option(False, "--one-based", help="The gold alignments count words from 1."),
    threshold: float | None = typer.Option(
        None,
        min=0.0,
        max=1.0,
        help="Align all words with at least this attention, not each target word with one source word.",
    ),
    beam_size: common.BeamSize = None,
    length_penalty: common.LengthPenalty = None,
    batch_size: common.BatchSize = 100,
    max_source_length: common.MaxSourceLength = 1024,
    device: common.Device = "cpu",
    engine: common.Engine = None,
    tokenize: common.Tokenize = None,
    lowercase: common.Lowercase = False,
    bootstrap: int = typer.Option(1000, min=0, help="Test sets drawn for the 95 % intervals; 0: none."),
    seed: int = typer.Option(12345, min=0, help="Of that drawing."),
    out: Path | None = typer.Option(None, help="Write everything measured to this JSON file."),
    hypotheses: Path | None = typer.Option(None, help="Write the translations to this file, one a line."),
    as_json: common.AsJson = False,
) -> None:
    """Score a model on a test set: BLEU, chrF, TER, perplexity, length, and the error of its alignments.

    Perplexity and alignments come from reading the references (forced decoding), the rest from translating.
    """
    for file in (out, hypotheses):
        common.check_can_write(file)
    if align_gold is None and (threshold is not None or one_based):
        option = "--one-based" if threshold is None else "--threshold"
        raise UserError(f"{option} is about the links of --align-gold, which was not given")
    common.check_translates(model)
    pairs = common.read_test_set(data, reference, split, source_column, target_column)
    from shisen.data.alignments import read_alignments
    from shisen.evaluation.system import check_gold, evaluate_system
    from shisen.inspection.alignment import check_threshold
    from shisen.pipelines import Translator

    gold = None
    if align_gold is not None:
        gold = read_alignments(align_gold, one_based)
        check_gold(gold, pairs, str(align_gold))
    if threshold is not None:
        check_threshold(threshold)
    translator = Translator.load(model, device, max_source_length, engine)
    tokenize = tokenize or common.say_tokenization([translator], pairs)
    decoding = common.decoding_options(beam_size, length_penalty)
    with common.progress(2 * len(pairs), "evaluating") as advance:
        evaluation = evaluate_system(
            translator,
            pairs,
            gold,
            tokenize=tokenize,
            lowercase=lowercase,
            batch_size=batch_size,
            samples=bootstrap,
            seed=seed,
            threshold=threshold,
            decoding=decoding,
            gold_name=str(align_gold),
            on_progress=advance,
        )
    report = {"model": str(model), "data": common.describe(data, reference), "command": common.command()}
    report["engine"] = translator.engine.name
    report |= evaluation.as_dict()
    if hypotheses is not None:
        write_atomically(hypotheses, "".join(f"{line}\n" for line in evaluation.hypotheses))
    if out is not None:
        write_atomically(out, common.to_json(report))
    print(common.to_json(report) if as_json else _table(evaluation), end="")


def score_line(score: "Score", has_interval: bool = True) -> str:
    """One score with its interval and signature, in columns."""
    interval = f"[{score.low:.2f}, {score.high:.2f}]" if has_interval else ""
    return f"{score.name:<12} {score.value:>7.2f}  {interval:<16} {score.signature}".rstrip()


def _table(evaluation: "Evaluation") -> str:
    scores = evaluation.scores
    has_interval = evaluation.provenance["settings"]["bootstrap_samples"] > 0
    lines = [score_line(score, has_interval) for score in (scores.bleu, scores.chrf, scores.ter)]
    lines += [
        f"{'perplexity':<12} {evaluation.perplexity:>7.2f}",
        f"{'length ratio':<12} {scores.length_ratio:>7.3f}",
    ]
    if evaluation.alignment is not None:
        alignment = evaluation.alignment
        lines.append(
            f"{'AER':<12} {alignment.error_rate:>7.3f}  "
            f"precision {alignment.precision:.3f}, recall {alignment.recall:.3f}"
        )
    lines.append(f"{'sentences':<12} {len(evaluation.hypotheses):>7}")
    return "\n".join(lines) + "\n"
