"""The report on heads as one HTML page, with its pictures inside; escaped as the report on attention is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shisen.inspection.head_similarity import NEAR_DUPLICATE
from shisen.inspection.heads.pictures import pictures_of
from shisen.inspection.heads.words import WORDS, check_language
from shisen.inspection.pattern_names import PATTERN_NAMES
from shisen.inspection.report import figures
from shisen.inspection.report.page import printable, shown

if TYPE_CHECKING:
    from shisen.inspection.heads.report import HeadsOfKind, HeadsReport

TEMPLATE = "heads/page.html.jinja"
COLUMNS = (
    "layer",
    "head",
    "pattern",
    "confidence",
    "runner_up",
    "agreement",
    "entropy",
    "nearest",
    "nearest_distance",
    "importance_gradient",
    "importance_ablation",
)


def render_page(report: HeadsReport, language: str) -> str:
    """The page in a language."""
    check_language(language)
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("shisen.inspection", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    words = WORDS[language]
    pictures = {name: figures.embedded(figure) for name, figure in pictures_of(report, language).items()}
    facts = {**report.facts, "sentences": report.sentences}
    rows = report.rows()
    return environment.get_template(TEMPLATE).render(
        language=language,
        words=words,
        facts=[(words.get(name, printable(name)), shown(value)) for name, value in facts.items()],
        kinds=[
            _kind(kind, heads, [row for row in rows if row["kind"] == kind], pictures, language)
            for kind, heads in report.kinds.items()
        ],
        pruning=pictures.get("pruning"),
        has_importance=bool(report.importance),
    )


def _kind(
    kind: str, heads: HeadsOfKind, rows: list[dict[str, Any]], pictures: dict[str, str], language: str
) -> dict[str, Any]:
    """The sections of one kind of attention."""
    from shisen.inspection.heads.gathering import FEWEST, MOST

    words, names = WORDS[language], PATTERN_NAMES[language]
    columns = [column for column in COLUMNS if rows and column in rows[0]]
    similarity, gallery = heads.similarity, heads.gallery
    return {
        "id": kind,
        "title": words[kind],
        "gallery": pictures.get(f"gallery-{kind}"),
        "gallery_note": words["gallery_none"].format(fewest=FEWEST, most=MOST)
        if gallery is None
        else words["gallery_note"].format(number=gallery[0]),
        "header": [words[column] for column in columns],
        "rows": [[_cell(column, row[column], names) for column in columns] for row in rows],
        "similarity": pictures.get(f"similarity-{kind}"),
        "similarity_note": None
        if similarity is None
        else words["similarity_note"].format(
            sentences=shown(similarity.sentences),
            within=NEAR_DUPLICATE,
            redundant=similarity.redundant(),
            count=len(similarity.divergence),
        ),
        "examples": [
            {
                "title": words["example"].format(
                    layer=layer, head=head, pattern=names[heads.patterns.names[layer][head]]
                ),
                "note": words["example_note"].format(number=example.number, score=shown(example.score)),
                "picture": figures.heatmap(example.attention_map, language),
                "alt": words["picture_of"].format(layer=layer, head=head),
            }
            for (layer, head), example in heads.examples.items()
        ],
    }


def _cell(column: str, value: Any, names: dict[str, str]) -> str:
    return names[value] if column in ("pattern", "runner_up") else shown(value)
