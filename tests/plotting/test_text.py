"""Glyphs: every character that a figure shows comes from a font that has it, or is named in a warning."""

import warnings

import pytest
from drawn import make_map
from matplotlib import font_manager

from shisen.plotting.text import (
    JAPANESE_FAMILY,
    LATIN_FAMILY,
    Ruler,
    families_for,
    standard_families,
    visible,
    without_missing,
)


def test_the_standard_fonts_show_the_languages_of_the_project():
    texts = [
        "The quick brown fox",
        "Übergrößen naïve",
        "私は深層学習が好きです。",
        "ー「」、。・〜！？",
        "Ελληνικά Русский",
        "▁Ġ…␣↵⇥�",
    ]
    assert families_for(texts) == ((LATIN_FAMILY, JAPANESE_FAMILY), frozenset())


def test_drawing_japanese_raises_no_warning_of_missing_glyphs(tmp_path):
    figure = make_map(["鬱", "ゔ", "ヶ", "々", "〇"], ["①", "％", "→", "é"]).plot()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in ("png", "svg", "pdf"):
            figure.savefig(tmp_path / f"a.{kind}")


@pytest.fixture
def _no_other_fonts(monkeypatch):
    """A machine that has only the fonts that Matplotlib brings."""
    fonts = [font for font in font_manager.fontManager.ttflist if font.name.startswith("DejaVu")]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", fonts)
    standard_families.cache_clear()
    yield
    standard_families.cache_clear()


@pytest.mark.usefixtures("_no_other_fonts")
def test_a_character_that_no_font_has_is_named_and_drawn_as_a_sign(recwarn):
    figure = make_map(["\U00016a40"], ["私"]).plot()  # Mro, a script of Bangladesh
    message = str(recwarn.pop(UserWarning).message)
    assert "U+16A40" in message
    assert "install a font" in message
    assert "�" in [label.get_text() for label in figure.axes[0].get_yticklabels()]
    figure._repr_png_()  # with no further warning


@pytest.mark.usefixtures("_no_other_fonts")
def test_without_the_japanese_font_the_warning_says_which_package_brings_it(monkeypatch, recwarn):
    monkeypatch.setattr("shisen.plotting.text._japanese_font", lambda: None)
    assert families_for(["私は"]) == ((LATIN_FAMILY,), frozenset("私は"))
    assert "matplotlib-fontja" in str(recwarn.pop(UserWarning).message)


@pytest.mark.parametrize(
    ("token", "shown"), [("a b", "a␣b"), ("\r\n", "↵↵"), ("\x07", "�"), ("\ud800", "�"), ("é", "é")]
)
def test_what_cannot_be_seen_is_made_visible(token, shown):
    assert visible(token) == shown


def test_missing_characters_are_replaced():
    assert without_missing("a私b", frozenset("私")) == "a�b"


def test_a_ruler_measures_and_shortens():
    ruler = Ruler(standard_families())
    assert ruler.width("深層学習", 10.0) == pytest.approx(40, abs=1)
    assert ruler.width("deep", 20.0) == pytest.approx(2 * ruler.width("deep", 10.0), rel=0.02)
    assert ruler.shorten("deep", 10.0, 100.0) == "deep"
    short = ruler.shorten("internationalization", 10.0, 50.0)
    assert short.endswith("…")
    assert "internationalization".startswith(short[:-1])
    assert 35 < ruler.width(short, 10.0) <= 50
