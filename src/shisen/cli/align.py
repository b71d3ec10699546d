"""``shisen align``: which word translates which, by a model, as a Pharaoh file."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from shisen.cli import common
from shisen.errors import UserError
from shisen.files import write_atomically

if TYPE_CHECKING:
    from shisen.data.alignments import Alignment
    from shisen.evaluation.alignment_choice import Reading
    from shisen.pipelines import Translator

HELD_OUT = 200  # pairs on which a layer and head are chosen where none are named
LEARNT = 20_000  # pairs of which IBM model 1 learns for that

Pairs = list[tuple[str, str]]
LinksOf = frozenset[tuple[int, int]]


def align(
    model: common.ModelDirectory,
    data: str = typer.Option(
        ...,
        help="Sentence pairs: a TSV or JSONL file (.gz too), a directory of splits, a Hub id; or, with "
        "--reference, a file of source sentences.",
    ),
    reference: common.Reference = None,
    split: common.Split = None,
    source_column: common.SourceColumn = None,
    target_column: common.TargetColumn = None,
    method: str = typer.Option(
        "attention", help="attention, attribution (gradients), or ibm1 (IBM model 1, learnt on --data)."
    ),
    layer: int | None = typer.Option(None, min=0, help="Read this layer, counted from 0."),
    head: int | None = typer.Option(None, min=0, help="Read this head, counted from 0."),
    shifted: bool = typer.Option(False, "--shifted", help="Read a token's row at the step that reads it."),
    held_out: str | None = typer.Option(
        None, help="Pairs with --held-out-gold, on which layer and head are chosen: TSV or JSONL."
    ),
    held_out_gold: Path | None = typer.Option(None, help="Gold alignments of --held-out, in Pharaoh format."),
    choice: Path | None = typer.Option(None, help="Read layer and head from a file of --save-choice."),
    save_choice: Path | None = typer.Option(None, help="Write what was chosen, and all candidates, as JSON."),
    extract: str = typer.Option("argmax", help="argmax, source-argmax, matching (one to one) or threshold."),
    threshold: float = typer.Option(0.1, min=0.0, max=1.0, help="Of --extract threshold."),
    reverse_model: Path | None = typer.Option(
        None, help="A model that translates back, whose alignment is joined with that of MODEL_DIR."
    ),
    symmetrize: str = typer.Option(
        "grow-diag-final-and",
        help="How both are joined: intersection, union, grow-diag, grow-diag-final, grow-diag-final-and.",
    ),
    gold: Path | None = typer.Option(None, help="Gold alignments, for the error rate."),
    one_based: bool = typer.Option(False, "--one-based", help="Gold alignments count words from 1."),
    out: Path | None = typer.Option(None, "--out", "-o", help="The Pharaoh file; without, standard output."),
    device: common.Device = "cpu",
    quiet: bool = typer.Option(False, "--quiet", help="Print nothing but alignments and errors."),
) -> None:
    """Align the words of sentence pairs: a line for each, 0-0 1-2, source word - target word from 0.

    The model is taken through the given translation, and every target word is linked with the source word
    that it looked at most. Of several layers and heads one is chosen: on --held-out, or else by its agreement
    with IBM model 1 on the first pairs of --data; what was chosen is said.
    """
    named = layer is not None or head is not None or shifted
    _check(method, extract, threshold, symmetrize, named, choice, held_out, held_out_gold, gold, one_based)
    for file in (out, save_choice):
        common.check_can_write(file)
    if method != "ibm1":
        common.check_translates(model)
        if reverse_model is not None:
            common.check_translates(reverse_model)
    pairs = common.read_test_set(data, reference, split, source_column, target_column)
    wanted = _gold(gold, one_based, pairs, str(gold))
    say = (lambda text: None) if quiet else (lambda text: print(text, file=sys.stderr))
    if method == "ibm1":
        found = _by_ibm(pairs, symmetrize)
    else:
        given = [_named(layer, head, shifted)] * 2 if named else _read_choice(choice)
        chosen: list[dict[str, Any]] = []
        directions = [_direction(model, pairs, device, is_reverse=False)]
        if reverse_model is not None:
            directions.append(_direction(reverse_model, pairs, device, is_reverse=True))
        aligned = []
        for translator, own_pairs, is_reverse in directions:
            own = given[is_reverse]
            if own is None and method == "attention":
                held = _held_out(held_out, held_out_gold, one_based, is_reverse)
                made = _choose(translator, own_pairs, held)
                if made is not None:
                    chosen.append(made.as_dict())
                    say(f"{'reverse model: ' if is_reverse else ''}{made}")
                    own = made.reading
            aligned.append((translator, own_pairs, own))
        if save_choice is not None:
            write_atomically(save_choice, common.to_json(_record(chosen)))
        found = _by_models(aligned, method, extract, threshold, symmetrize)
    _write(found, out, len(pairs), wanted, say)


def _check(
    method: str,
    extract: str,
    threshold: float,
    symmetrize: str,
    named: bool,
    choice: Path | None,
    held_out: str | None,
    held_out_gold: Path | None,
    gold: Path | None,
    one_based: bool,
) -> None:
    """Refuse options that do not go together, before the work."""
    from shisen.evaluation.word_alignment import EXTRACTIONS, METHODS
    from shisen.inspection.alignment import check_threshold
    from shisen.inspection.symmetrization import SYMMETRIZATIONS

    for option, value, allowed in (
        ("--method", method, (*METHODS, "ibm1")),
        ("--extract", extract, EXTRACTIONS),
        ("--symmetrize", symmetrize, SYMMETRIZATIONS),
    ):
        if value not in allowed:
            raise UserError(f"{option} is one of {', '.join(allowed)}, not {value!r}")
    if extract == "threshold":
        check_threshold(threshold)
    if (held_out is None) is not (held_out_gold is None):
        raise UserError("--held-out and --held-out-gold go together: pairs, and their gold alignments")
    ways = sum((named, choice is not None, held_out is not None))
    if ways > 1:
        raise UserError(
            "layer and head are named, read from --choice, or chosen on --held-out: only one of these"
        )
    if ways and method != "attention":
        raise UserError(
            f"--layer, --head, --shifted, --choice and --held-out are for attention, not for {method}"
        )
    if one_based and gold is None and held_out_gold is None:
        raise UserError("--one-based is about gold alignments, which were not given")


def _gold(path: Path | None, one_based: bool, pairs: Pairs, name: str) -> "list[Alignment] | None":
    if path is None:
        return None
    from shisen.data.alignments import read_alignments
    from shisen.evaluation.system import check_gold

    alignments = read_alignments(path, one_based)
    check_gold(alignments, pairs, name)
    return alignments


def _named(layer: int | None, head: int | None, shifted: bool) -> "Reading":
    from shisen.evaluation.alignment_choice import Reading

    return Reading(layer, head, shifted)


def _read_choice(path: Path | None) -> "list[Reading | None]":
    """What a file of --save-choice says of MODEL_DIR, and of --reverse-model; None where nothing."""
    if path is None:
        return [None, None]
    from shisen.evaluation.alignment_choice import reading_from_dict

    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise UserError(f"{path} is no JSON: {error}") from None
    try:
        first = reading_from_dict(entries)
        return [first, reading_from_dict(entries["reverse"]) if "reverse" in entries else None]
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _direction(model: Path, pairs: Pairs, device: str, is_reverse: bool) -> "tuple[Translator, Pairs, bool]":
    """A model, the pairs as it translates them, and whether that is from target to source."""
    from shisen.pipelines import Translator

    translator = Translator.load(model, device)
    own = [(target, source) for source, target in pairs] if is_reverse else pairs
    translator.check_lengths([source for source, _ in own], [target for _, target in own])
    return translator, own, is_reverse


def _held_out(
    data: str | None, gold: Path | None, one_based: bool, is_reverse: bool
) -> "tuple[Pairs, list[Alignment]] | None":
    if data is None:
        return None
    from shisen.data.alignments import Alignment

    pairs = common.read_test_set(data)
    alignments = _gold(gold, one_based, pairs, str(gold)) or []
    if is_reverse:
        pairs = [(target, source) for source, target in pairs]
        alignments = [Alignment(_flipped(one.sure), _flipped(one.possible)) for one in alignments]
    return pairs, alignments


def _flipped(links: LinksOf) -> LinksOf:
    from shisen.inspection.alignment import flipped

    return flipped(links)


def _choose(translator: "Translator", pairs: Pairs, held_out: "tuple[Pairs, list[Alignment]] | None") -> Any:
    """The layer and head that are read; None where the model has one only."""
    from shisen.evaluation.ibm_model import fit_both_ways, words_of
    from shisen.evaluation.word_alignment import choose_by_gold, choose_by_ibm

    if held_out is not None:
        return choose_by_gold(translator, *held_out)
    if translator.engine.name == "torch" and _heads_of(translator) == (1, 1):
        return None
    learnt = [(words_of(source), words_of(target)) for source, target in pairs[:LEARNT]]
    return choose_by_ibm(translator, pairs[:HELD_OUT], fit_both_ways(learnt))


def _heads_of(translator: "Translator") -> tuple[int, int] | None:
    """How many layers and heads look at the source."""
    return getattr(translator.model, "attention_heads", {}).get("cross")


def _record(chosen: list[dict[str, Any]]) -> dict[str, Any]:
    """What --save-choice holds: the choice for MODEL_DIR, and below it that for --reverse-model.

    Raises:
        UserError: Nothing was chosen.
    """
    if not chosen:
        raise UserError("--save-choice: there was nothing to choose; the model has one layer and one head")
    return chosen[0] | ({"reverse": chosen[1]} if len(chosen) > 1 else {})


def _by_models(
    aligned: "Sequence[tuple[Translator, Pairs, Reading | None]]",
    method: str,
    extract: str,
    threshold: float,
    symmetrize: str,
) -> Iterator[LinksOf]:
    """The links of one model, or of two joined."""
    from shisen.evaluation.alignment_choice import Reading
    from shisen.evaluation.word_alignment import ModelAligner
    from shisen.inspection import symmetrization

    found = [
        ModelAligner(translator, method, reading or Reading(), extract, threshold).align(
            [source for source, _ in pairs], [target for _, target in pairs]
        )
        for translator, pairs, reading in aligned
    ]
    if len(found) == 1:
        return found[0]
    return (
        symmetrization.symmetrize(there, _flipped(back), symmetrize)
        for there, back in zip(*found, strict=True)
    )


def _by_ibm(pairs: Pairs, symmetrize: str) -> Iterator[LinksOf]:
    from shisen.evaluation.ibm_model import fit_both_ways, words_of

    words = [(words_of(source), words_of(target)) for source, target in pairs]
    model = fit_both_ways(words)
    return (model.align(source, target, symmetrize) for source, target in words)


def _write(
    found: Iterator[LinksOf], out: Path | None, total: int, wanted: "list[Alignment] | None", say: Any
) -> None:
    """The lines, one by one, and the scores where there is gold."""
    from shisen.evaluation.alignment import NO_ALIGNMENTS, score_alignment
    from shisen.files import written_aside
    from shisen.inspection.alignment import format_pharaoh

    scores = NO_ALIGNMENTS

    def lines(advance: Any) -> Iterator[str]:
        nonlocal scores
        for number, links in enumerate(found):
            if wanted is not None:
                scores += score_alignment(links, wanted[number].sure, wanted[number].possible)
            yield format_pharaoh(links) + "\n"
            advance(1)

    with common.progress(total, "aligning") as advance:
        if out is None:
            for line in lines(advance):
                sys.stdout.write(line)
        else:
            with written_aside(out) as file:
                file.writelines(line.encode() for line in lines(advance))
    if wanted is not None:
        say(
            f"AER {scores.error_rate:.4f}, precision {scores.precision:.4f}, recall {scores.recall:.4f}, "
            f"F1 {scores.f_measure():.4f}, {scores.predicted:,} links, {scores.sure:,} sure"
        )
