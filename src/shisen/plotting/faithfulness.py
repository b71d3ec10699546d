"""The verdict on an explanation as a figure: the effect of every test, and what erasing tokens does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from shisen.inspection.faithfulness.words import (
    ORDER_NAMES,
    RIVAL_NAMES,
    TEST_NAMES,
    check_language,
    two_places,
)
from shisen.plotting.style import CATEGORICAL, FAINT, INK, Figure, style
from shisen.plotting.text import standard_families

if TYPE_CHECKING:
    from shisen.inspection.faithfulness.comparisons import ComparisonResult
    from shisen.inspection.faithfulness.report import FaithfulnessReport

_RIVALS = ("threshold", "seed", "chance", "gradients", "integrated-gradients")
_COLORS = {"better": CATEGORICAL[0], "worse": CATEGORICAL[1]}
_UNDECIDED = "#777777"
_CURVES = ("attention", "gradient-input", "integrated-gradients", "leave-one-out", "chance")
_ROW = 0.235  # inches, of a test
_WORDS: dict[str, dict[str, Any]] = {
    "en": {
        "effect": "effect size r (rank-biserial)",
        "sides": ("worse", "better"),
        "outcomes": {"better": "better", "worse": "worse", "no difference": "no difference found"},
        "too little data": "too little data",
        "numbers": "mean / rival's",
        "comprehensiveness": "tokens erased: higher is better",
        "sufficiency": "tokens kept: lower is better",
        "horizontal": "share of the source tokens, in the order of",
        "vertical": "fall of the decision's probability",
    },
    "ja": {
        "effect": "効果量 r（順位双列相関）",
        "sides": ("劣る", "優れる"),
        "outcomes": {"better": "優れる", "worse": "劣る", "no difference": "差が見つからない"},
        "too little data": "データ不足",
        "numbers": "平均 / 比較相手",
        "comprehensiveness": "単語を削除：高いほどよい",
        "sufficiency": "単語を保持：低いほどよい",
        "horizontal": "原文のトークンの割合（下の順に選ぶ）",
        "vertical": "判断の確率の低下",
    },
}


def plot_faithfulness(report: FaithfulnessReport, language: str = "en") -> Figure:
    """Draw the effect of every comparison, and the curves of comprehensiveness and sufficiency.

    Filled marks are differences that hold after Holm's correction; hollow ones are none that was found.

    Args:
        report: What the tests found.
        language: ``en`` or ``ja``.
    """
    check_language(language)
    groups = {rival: [one for one in report.results if one.rival == rival] for rival in _RIVALS}
    groups = {rival: results for rival, results in groups.items() if results}
    rows = sum(map(len, groups.values())) + len(groups)
    with style(standard_families()):
        figure = Figure(figsize=(9.6, max(3.6, 0.9 + _ROW * rows)), layout="constrained")
        left, right = cast(Any, figure.subfigures(1, 2, width_ratios=(1.75, 1)))
        _draw_effects(left.subplots(), groups, language)
        panels = right.subplots(2, 1, sharex=True)
        for axes, measure in zip(panels, ("comprehensiveness", "sufficiency"), strict=True):
            _draw_curves(axes, report, measure, language)
        panels[-1].set_xlabel(_WORDS[language]["horizontal"])
        right.supylabel(_WORDS[language]["vertical"], fontsize=9)
        handles, names = panels[0].get_legend_handles_labels()
        right.legend(handles, names, loc="outside lower center", ncols=2)
    return figure


def _draw_effects(axes: Axes, groups: dict[str, list[ComparisonResult]], language: str) -> None:
    """One row for each comparison, under the name of the rival."""
    words = _WORDS[language]
    labels: list[str] = []
    for rival, results in groups.items():
        axes.axhspan(len(labels) - 0.5, len(labels) + 0.5, color=FAINT, alpha=0.5, linewidth=0)
        labels.append(RIVAL_NAMES[language][rival])
        for result in results:
            row = len(labels)
            color = _COLORS.get(result.outcome, _UNDECIDED)
            face = color if result.outcome in _COLORS else "white"
            if result.outcome == "too little data":
                axes.annotate(words["too little data"], (0, row), ha="center", va="center", fontsize=8)
            else:
                axes.plot([0, result.effect], [row, row], color=color, linewidth=1.5)
                axes.plot(result.effect, row, "o", color=color, markerfacecolor=face, markersize=6)
            numbers = f"{two_places(result.own)} / {two_places(result.other)}"
            axes.annotate(
                numbers, (1.0, row), (8, 0), ha="left", va="center",
                xycoords=("axes fraction", "data"), textcoords="offset points", fontsize=8,
            )  # fmt: skip
            labels.append(TEST_NAMES[language][result.test])
    axes.annotate(
        words["numbers"], (1.0, 0), (8, 0), va="center", xycoords=("axes fraction", "data"),
        textcoords="offset points", fontsize=8,
    )  # fmt: skip
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlim(-1.1, 1.1)
    axes.axvline(0, color=INK, linewidth=0.8)
    worse, better = words["sides"]
    axes.set_xlabel(f"← {worse}    {words['effect']}    {better} →")
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    handles = [
        Line2D(
            [], [], linestyle="", marker="o", color=_COLORS.get(outcome, _UNDECIDED), label=name,
            markerfacecolor=_COLORS.get(outcome, "white"),
        )
        for outcome, name in words["outcomes"].items()
    ]  # fmt: skip
    axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(-0.1, 1.0), ncols=3)


def _draw_curves(axes: Axes, report: FaithfulnessReport, measure: str, language: str) -> None:
    """How the probability of the decision falls with the share of tokens, by each order."""
    for number, order in enumerate(_CURVES):
        rows = report.curves.get(f"{measure}.{order}")
        if rows is None:
            continue
        is_chance = order == "chance"
        axes.plot(
            report.options.fractions,
            np.nanmean(rows, axis=0),
            "--" if is_chance else "-",
            marker="o",
            markersize=3.2,
            color=_UNDECIDED if is_chance else CATEGORICAL[number],
            linewidth=2.2 if order == "attention" else 1.3,
            label=ORDER_NAMES[language][order],
        )
    axes.set_title(_WORDS[language][measure], loc="left", fontsize=9)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.grid()
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
