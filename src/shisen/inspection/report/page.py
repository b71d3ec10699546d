"""The report as one HTML page: the numbers of `AttentionReport.as_dict` in tables, and figures inside.

Everything that comes from data (tokens, names, commands) is escaped by the template engine; the page has no
script, and a policy in it forbids any, and any request.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from shisen.inspection.pattern_names import PATTERN_NAMES
from shisen.inspection.report import figures
from shisen.inspection.report.words import SHAPE_WORDS, WORDS, check_language
from shisen.inspection.summary import QUANTILES

if TYPE_CHECKING:
    from shisen.inspection.report.contents import AttentionReport
    from shisen.inspection.report.extremes import Example

TEMPLATE = "report/page.html.jinja"
_QUANTILES = tuple(f"q{round(100 * share):02}" for share in QUANTILES)
_SIDES = ("under", "over")  # of translation faults
_ALIGNMENT = ("aer", "precision", "recall", "f1", "predicted_links", "sure_links")


def render_page(report: AttentionReport, language: str) -> str:
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
    numbers, words = report.as_dict(), WORDS[language]
    return environment.get_template(TEMPLATE).render(
        language=language,
        words=words,
        facts=_facts(numbers["facts"], words),
        settings=[(name, shown(value)) for name, value in numbers["settings"].items()],
        kinds=[_kind(kind, one, language) for kind, one in numbers["kinds"].items()],
        guide=_guide(report, numbers["reading_guide"], language),
        examples={
            "focused": [_example(report, one, language) for one in _extremes(report).focused],
            "diffuse": [_example(report, one, language) for one in _extremes(report).diffuse],
        },
        rule=numbers["examples"]["rule"],
        alignment=_alignment(numbers.get("alignment"), words),
        faults=_faults(numbers.get("faults"), words),
        faithfulness=_faithfulness(report, language),
    )


def _facts(facts: Mapping[str, Any], words: Mapping[str, str]) -> list[tuple[str, str]]:
    """Where the report comes from, in words."""
    texts = {name: shown(value) for name, value in facts.items()}
    if "reads" in texts:
        texts["reads"] = words[texts["reads"]]
    return [(words.get(name, printable(name)), text) for name, text in texts.items()]


def shown(value: Any) -> str:
    """A value as the page writes it: numbers to three places, what is undefined as a dash."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float | list | tuple | dict):
        return printable(str(value))
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {shown(entry)}" for name, entry in value.items())
    return ", ".join(shown(entry) for entry in value)


def printable(text: str) -> str:
    """A text whose control characters are seen as escapes, and do nothing to the page."""
    return "".join(
        f"\\u{ord(one):04x}" if unicodedata.category(one) in ("Cc", "Cf", "Cs") else one for one in text
    )


def _extremes(report: AttentionReport) -> Any:
    return report.kinds[report.shown].extremes


def _kind(kind: str, numbers: Mapping[str, Any], language: str) -> dict[str, Any]:
    """The tables of one kind of attention."""
    from shisen.plotting.statistics import MEASURE_NAMES

    words, measures = WORDS[language], MEASURE_NAMES[language]
    tables = [
        ("by_layer", "", _means(numbers["by_layer"], ("layer",), language)),
        ("by_head", "", _means(numbers["by_head"], ("layer", "head"), language)),
        ("by_length", words["length_note"], _means(numbers["by_length"], ("group",), language)),
        ("by_part", words["part_note"], _means(_in_order(numbers["by_part"]), ("part",), language)),
    ]
    return {
        "id": kind,
        "title": words[kind],
        "counted": words["counted"].format(
            **{name: shown(numbers[name]) for name in ("sentences", "layers", "heads")}
        ),
        "excluded": words["excluded"].format(count=shown(numbers["excluded_rows"])),
        "unnormalized": words["unnormalized"].format(
            count=shown(numbers["unnormalized_rows"]), largest=f"{numbers['largest_deviation']:.2g}"
        ),
        "summary": {
            "header": [
                *(words[name] for name in ("measure", "rows", "mean", "interval", "deviation")),
                *(f"{100 * share:g} %" for share in QUANTILES),
            ],
            "rows": [
                [
                    measures[row["measure"]],
                    shown(row["count"]),
                    shown(row["mean"]),
                    _interval(row),
                    *(shown(row[name]) for name in ("deviation", *_QUANTILES)),
                ]
                for row in numbers["overall"]
            ],
        },
        "tables": [
            {"id": f"{kind}-{name}", "title": words[name], "note": note, **table}
            for name, note, table in tables
            if table["rows"]
        ],
        "patterns": _patterns(numbers["patterns"], language),
    }


def _in_order(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The parts of a sentence as they follow each other, under the name ``part``."""
    from shisen.inspection.report.parts import PARTS

    return [{**row, "part": name} for name in PARTS for row in rows if row["group"] == name]


def _means(rows: Sequence[Mapping[str, Any]], axes: Sequence[str], language: str) -> dict[str, Any]:
    """A tidy table turned: a row for every part, a column for every measure."""
    from shisen.plotting.statistics import MEASURE_NAMES

    words = WORDS[language]
    measures = list(dict.fromkeys(row["measure"] for row in rows))
    places: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in rows:
        place = tuple(words.get(str(row[axis]), str(row[axis])) for axis in axes)
        places.setdefault(place, {})[row["measure"]] = row
    largest = {name: max((one[name]["mean"] for one in places.values()), default=0.0) for name in measures}
    return {
        "axes": [words[axis] for axis in axes],
        "measures": [MEASURE_NAMES[language][name] for name in measures],
        "rows": [
            {
                "place": place,
                "count": shown(next(iter(one.values()))["count"]),
                "cells": [
                    {
                        "mean": shown(one[name]["mean"]),
                        "interval": _interval(one[name]),
                        "bar": _share(one[name]["mean"], largest[name]),
                    }
                    for name in measures
                ],
            }
            for place, one in places.items()
        ],
    }


def _share(value: float, largest: float) -> str:
    """How long the bar behind a number is, in percent of its column's largest."""
    is_known = math.isfinite(value) and math.isfinite(largest) and largest > 0
    return f"{100 * max(0.0, value) / largest:.0f}%" if is_known else "0%"


def _interval(row: Mapping[str, Any]) -> str:
    return f"{shown(row['low'])} – {shown(row['high'])}" if math.isfinite(row["low"]) else "–"


def _patterns(rows: Sequence[Mapping[str, Any]], language: str) -> list[list[str]]:
    return [
        [
            str(row["layer"]),
            str(row["head"]),
            PATTERN_NAMES[language][row["pattern"]],
            *(shown(row[name]) for name in ("confidence", "agreement")),
        ]
        for row in rows
    ]


def _guide(report: AttentionReport, numbers: Mapping[str, Any], language: str) -> list[dict[str, Any]]:
    """Every shape: its name, what it means, its rule, and the example where there is one."""
    words, entries = WORDS[language], []
    for shape, entry in numbers.items():
        name, meaning, rule = SHAPE_WORDS[language][shape]
        found = report.kinds[report.shown].guide.found.get(shape)
        where, picture = words["not_found"].format(least=entry["least"]), None
        if found is not None:
            place = words["found_in"].format(number=found.number, layer=found.layer, head=found.head)
            if found.row is not None:
                token = printable(found.attention_map.query_tokens[found.row])
                place += words["found_row"].format(token=token)
            where = place + words["found_score"].format(score=shown(found.score))
            picture = figures.heatmap(found.attention_map, language)
        entries.append(
            {"id": shape, "name": name, "meaning": meaning, "rule": rule, "where": where, "picture": picture}
        )
    return entries


def _example(report: AttentionReport, one: Example, language: str) -> dict[str, str]:
    words = WORDS[language]
    return {
        "title": words["sentence"].format(number=one.number),
        "spread": words["spread_is"].format(value=shown(one.spread)),
        "map": figures.heatmap(one.attention_map, language),
        "map_name": words["map_of"].format(number=one.number),
        "panels": figures.panels(one.attention_map, report.settings, language),
        "panels_name": words["panels_of"].format(number=one.number),
    }


def _alignment(scores: Mapping[str, Any] | None, words: Mapping[str, str]) -> list[tuple[str, str]] | None:
    if scores is None:
        return None
    return [(words[name], shown(scores[name])) for name in _ALIGNMENT]


def _faults(faults: Mapping[str, Any] | None, words: Mapping[str, str]) -> dict[str, Any] | None:
    """What is said of the faults as a whole, and the sentences that are shown, with their marked words."""
    if faults is None:
        return None
    counted = words["faults_counted"].format(
        sentences=shown(faults["sentences"]),
        under=shown(faults["marked"]["under"]),
        over=shown(faults["marked"]["over"]),
        learnt_on=shown(faults["learnt_on"]),
        **{name: shown(value) for name, value in faults["thresholds"].items()},
    )
    return {
        "counted": counted,
        **{side: [_fault(one, side, words) for one in faults[side]] for side in _SIDES},
    }


def _fault(one: Mapping[str, Any], side: str, words: Mapping[str, str]) -> dict[str, Any]:
    """A sentence word by word: its text, and the title of the mark, or nothing."""
    repeated = {
        begin + place
        for span in (one["repetitions"] if side == "over" else ())
        for begin in (span["first"], span["second"])
        for place in range(span["length"])
    }
    marked = set(one[side])
    return {
        "title": words["sentence"].format(number=one["sentence"]),
        "source": [
            (printable(word), words["received"].format(ratio=shown(ratio)) if place in marked else None)
            for place, (word, ratio) in enumerate(zip(one["source"], one["ratios"], strict=True))
        ],
        "target": [
            (printable(word), words["said_twice"] if place in repeated else None)
            for place, word in enumerate(one["target"])
        ],
        "found": ", ".join(
            f"{printable(one['source'][place])} {shown(one['ratios'][place])}" for place in one[side]
        ),
    }


def _faithfulness(report: AttentionReport, language: str) -> dict[str, str] | None:
    tested = report.faithfulness
    if tested is None:
        return None
    numbers = report.as_dict()["faithfulness"]
    return {
        "verdict": tested.verdict(language),
        "picture": figures.verdict(tested, language),
        "run_time": WORDS[language]["run_time"].format(
            sentences=shown(numbers["sentences"]),
            decisions=shown(numbers["decisions"]),
            seconds=f"{numbers['seconds']:.1f}",
        ),
    }
