"""The verdict on an explanation, as one paragraph: what each test says, and nothing beyond its test."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from shisen.inspection.faithfulness.comparisons import ComparisonResult
from shisen.inspection.faithfulness.verdict_phrases import PHRASES
from shisen.inspection.faithfulness.words import TEST_NAMES, check_language, two_places

if TYPE_CHECKING:
    from shisen.inspection.faithfulness.report import FaithfulnessReport

#: What the paragraph speaks of: the name of the phrases, the rival, and whether it is the adversary.
_TOPICS = (
    ("dependence", "threshold", False),
    ("adversary", "chance", True),
    ("seed", "seed", True),
    ("chance", "chance", False),
    ("gradients", "gradients", False),
    ("integrated", "integrated-gradients", False),
)


def verdict(report: FaithfulnessReport, language: str = "en") -> str:
    """Say on which tests attention did better than chance and than gradients, and by how much.

    Args:
        report: What was found.
        language: ``en`` or ``ja``.

    Raises:
        UserError: There are no words in this language.
    """
    check_language(language)
    phrases = PHRASES[language]
    settings = _settings(report, language)
    lacking = [one for one in report.results if one.outcome == "too little data"]
    parts = [phrases["opening"]["all"].format(**settings)]
    if not lacking:
        parts.append(phrases["summary"]["all"].format(**settings))
    for topic, rival, is_adversary in _TOPICS:
        about = [
            one for one in report.results if one.rival == rival and (one.test == "adversary") == is_adversary
        ]
        for outcome, phrase in phrases[topic].items():
            tests = [one for one in about if one.outcome == outcome]
            if tests:
                parts.append(phrase.format(**settings, tests=_named(tests, language)))
    if lacking:
        names = list(dict.fromkeys(TEST_NAMES[language][one.test] for one in lacking))
        listed = {"en": "; ", "ja": "、"}[language].join(names)
        parts.append(phrases["lacking"]["all"].format(**settings, tests=listed))
    parts.append(phrases["closing"]["all"])
    return ("" if language == "ja" else " ").join(parts)


def _named(results: Iterable[ComparisonResult], language: str) -> str:
    """Each test with both means and its effect size."""
    form, between = {
        "en": ("{} ({} against {}, r = {:+.2f})", "; "),
        "ja": ("{}（{} 対 {}、r = {:+.2f}）", "、"),
    }[language]
    names = TEST_NAMES[language]
    return between.join(
        form.format(names[one.test], two_places(one.own), two_places(one.other), one.effect)
        for one in results
    )


def _settings(report: FaithfulnessReport, language: str) -> dict[str, str]:
    """What the phrases may name."""
    options = report.options
    phrases = PHRASES[language]
    return {
        "explanation": _explanation(report, language),
        "end": phrases["end"]["ranked" if options.includes_end else "not ranked"],
        "reads": phrases["reads"]["own" if report.is_own_translation else "given"],
        "sentences": {
            "en": f"{report.sentences:,} sentence{'s' * (report.sentences != 1)}",
            "ja": f"{report.sentences:,} 文",
        }[language],
        "decisions": f"{report.decisions:,}",
        "comparisons": str(len(report.results)),
        "dependence_won": _count(report, "threshold"),
        "chance_won": _count(report, "chance"),
        "gradients_won": _count(report, "gradients"),
        "integrated_won": _count(report, "integrated-gradients"),
        "level": f"{options.level:.0%}",
        "threshold": f"{options.threshold:.2f}",
        "bound": f"{options.bound:.2f}",
    }


def _count(report: FaithfulnessReport, rival: str) -> str:
    """How many of the comparisons with a rival spoke for attention: ``3/4``."""
    outcomes = [one.outcome for one in report.results if one.rival == rival]
    return f"{outcomes.count('better')}/{len(outcomes)}"


def _explanation(report: FaithfulnessReport, language: str) -> str:
    """Which layer and head the weights are of."""
    options = report.options
    chosen = (options.layer, options.head)
    if language == "ja":
        layer = f"全 {report.layers} 層の平均" if options.layer is None else f"層 {options.layer}"
        head = f"全 {report.heads} ヘッドの平均" if options.head is None else f"ヘッド {options.head}"
        return f"{layer}、{head}"
    counts = ((report.layers, "layer"), (report.heads, "head"))
    mean = " and ".join(
        f"{number} {noun}{'s' * (number != 1)}"
        for (number, noun), one in zip(counts, chosen, strict=True)
        if one is None
    )
    named = [f"{noun} {one}" for (_, noun), one in zip(counts, chosen, strict=True) if one is not None]
    return ", ".join([*named, *([f"the mean over {mean}"] if mean else [])])
