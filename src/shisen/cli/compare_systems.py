"""``shisen compare-systems``: is one system better than another, or was it luck?"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from shisen.cli import common
from shisen.data.lines import read_lines
from shisen.errors import UserError
from shisen.files import write_atomically

if TYPE_CHECKING:
    from shisen.evaluation.significance import SystemComparison


def compare_systems(
    systems: list[str] = typer.Argument(
        ...,
        metavar="BASELINE SYSTEM...",
        help="Model directories, or files of translations, one a line. The first is the baseline.",
    ),
    data: str | None = typer.Option(
        None, help="The test set, as `shisen evaluate` takes it; not needed where all systems are files."
    ),
    reference: common.Reference = None,
    split: common.Split = None,
    source_column: common.SourceColumn = None,
    target_column: common.TargetColumn = None,
    test: str = typer.Option("bootstrap", help="bootstrap (Koehn 2004) or randomisation (Riezler 2005)."),
    draws: int | None = typer.Option(None, min=1, help="Draws of the test; default: 1,000 or 10,000."),
    beam_size: common.BeamSize = None,
    batch_size: common.BatchSize = 100,
    max_source_length: common.MaxSourceLength = 1024,
    device: common.Device = "cpu",
    tokenize: common.Tokenize = None,
    lowercase: common.Lowercase = False,
    seed: int = typer.Option(12345, min=0, help="Of the draws."),
    out: Path | None = typer.Option(None, help="Write the comparison to this JSON file."),
    as_json: common.AsJson = False,
) -> None:
    """Paired significance tests of systems against the first, for BLEU, chrF and TER.

    A p-value is the probability of so large a difference if the systems were equally good.
    """
    from shisen.evaluation.scores import build_metrics
    from shisen.evaluation.significance import DRAWS, check_test, compare
    from shisen.evaluation.system import data_fingerprint, versions

    common.check_can_write(out)
    check_test(test)
    if len(systems) < 2:
        raise UserError("a comparison needs two systems or more, the baseline first")
    if data is not None:
        pairs = common.read_test_set(data, reference, split, source_column, target_column)
    else:
        pairs = [("", line) for line in _references(systems, reference)]
    if not pairs:
        raise UserError(f"{reference}: holds no line; there is nothing to compare")
    translators = [_load(system, device, max_source_length) for system in systems]
    references = [" ".join(target.split()) for _, target in pairs]
    given = [
        None if translator else _read_translations(system, len(references))
        for system, translator in zip(systems, translators, strict=True)
    ]
    models = [translator for translator in translators if translator]
    tokenize = tokenize or common.say_tokenization(models, pairs)
    build_metrics(tokenize, lowercase)  # what cannot be measured is refused here, not after the translating
    sources = [source for source, _ in pairs]
    for translator in models:
        translator.check_lengths(sources)
    hypotheses = _translate_rest(given, translators, sources, batch_size, beam_size)
    comparisons = compare(
        list(zip(systems, hypotheses, strict=True)),
        references,
        test=test,
        draws=draws,
        tokenize=tokenize,
        lowercase=lowercase,
        seed=seed,
    )
    report = {
        "systems": [comparison.as_dict() for comparison in comparisons],
        "model_fingerprints": [translator and translator.fingerprint for translator in translators],
        "data": common.describe(data, reference) if data else str(reference),
        "data_fingerprint": data_fingerprint(pairs),
        "settings": {
            "test": test,
            "draws": draws or DRAWS[test],
            "beam_size": beam_size,
            "tokenize": tokenize,
            "lowercase": lowercase,
            "seed": seed,
        },
        "versions": versions(),
        "command": common.command(),
    }
    if out is not None:
        write_atomically(out, common.to_json(report))
    print(common.to_json(report) if as_json else _table(comparisons), end="")


def _references(systems: list[str], reference: Path | None) -> list[str]:
    """The lines of the file of references, which is enough where no system is a model."""
    models = [system for system in systems if Path(system).is_dir()]
    if models:
        raise UserError(f"{models[0]} is a model directory, which needs source sentences: give --data")
    if reference is None:
        raise UserError("files of translations are compared against references: give --reference or --data")
    return list(read_lines(reference))


def _load(system: str, device: str, max_source_length: int) -> Any:
    """The translator, if the system is a model directory."""
    if not Path(system).is_dir():
        return None
    from shisen.pipelines import Translator

    return Translator.load(system, device, max_source_length)


def _read_translations(system: str, count: int) -> list[str]:
    lines = list(read_lines(system))
    if len(lines) != count:
        raise UserError(f"{system} has {len(lines)} lines, but there are {count} references")
    return lines


def _translate_rest(
    given: list[list[str] | None],
    translators: list[Any],
    sources: list[str],
    batch_size: int,
    beam_size: int | None,
) -> list[list[str]]:
    """The translations of every system: those of a file as they are, those of a model made now."""
    from shisen.evaluation.system import translate_all

    decoding = common.decoding_options(beam_size)
    with common.progress(len(sources) * given.count(None), "translating") as advance:
        return [
            translate_all(translator, sources, batch_size, decoding, advance) if lines is None else lines
            for lines, translator in zip(given, translators, strict=True)
        ]


def _table(comparisons: list["SystemComparison"]) -> str:
    """For every metric the systems' scores, intervals, differences and p-values, in columns."""
    width = max(len(comparison.name) for comparison in comparisons)
    blocks = []
    for index, metric in enumerate(comparisons[0].scores):
        lines = [f"{metric.name}  {comparisons[-1].scores[index].signature}"]
        for comparison in comparisons:
            score = comparison.scores[index]
            line = f"  {comparison.name:<{width}}  {score.value:6.2f}  [{score.low:.2f}, {score.high:.2f}]"
            if comparison.p_values:
                line += f"  {comparison.differences[index]:+.2f}  p = {comparison.p_values[index]:.4f}"
            else:
                line += "  baseline"
            lines.append(line)
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)
