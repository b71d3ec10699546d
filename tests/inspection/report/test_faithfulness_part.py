"""The verdict on an explanation inside a report."""

import base64
import re

from report_maps import cross_map

from shisen.inspection.faithfulness import FaithfulnessOptions, PlantedModel, assess_decisions
from shisen.inspection.faithfulness.planted import planted_sentences
from shisen.inspection.report import ReportGatherer
from shisen.inspection.report.words import WORDS

OPTIONS = FaithfulnessOptions(
    permutations=4, random_orders=2, integration_steps=2, adversarial_steps=2, samples=1000, longest=12
)


def test_the_verdict_its_figure_and_its_numbers_are_in_the_report():
    tested = assess_decisions(PlantedModel(attention_decides=True), planted_sentences(4), OPTIONS)
    gatherer = ReportGatherer()
    gatherer.add({"cross": cross_map()})
    report = gatherer.report(faithfulness=tested)
    assert report.as_dict()["faithfulness"]["tests"] == tested.as_dict()["tests"]
    for language in ("en", "ja"):
        page = report.to_html(language)
        section = re.search(r'<section id="faithfulness">(.*?)</section>', page, re.S)[1]
        verdict = re.search(r'<p class="verdict">(.*?)</p>', section, re.S)[1]
        assert verdict.replace("&#39;", "'").replace("&lt;", "<").replace("&gt;", ">") == tested.verdict(
            language
        )
        picture = re.search(r'src="data:image/svg\+xml;base64,([^"]+)"', section)[1]
        assert base64.b64decode(picture).startswith(b"<?xml")
        assert f"{tested.seconds:.1f}" in section


def test_a_report_without_the_tests_says_so():
    gatherer = ReportGatherer()
    gatherer.add({"cross": cross_map(1, 1)})
    assert WORDS["en"]["not_tested"] in gatherer.report().to_html()
