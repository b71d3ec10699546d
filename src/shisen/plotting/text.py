"""Tokens as they are drawn: fonts that have their glyphs, their width, and what stands for the invisible."""

import importlib.util
import unicodedata
import warnings
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from matplotlib import font_manager
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties
from matplotlib.ft2font import FT2Font

LATIN_FAMILY = "DejaVu Sans"  # comes with Matplotlib
JAPANESE_FAMILY = "IPAexGothic"  # comes with matplotlib-fontja

_VISIBLE = {"\n": "↵", "\r": "↵", "\t": "⇥", " ": "␣", "\u3000": "␣", "\u00a0": "␣"}
_NO_GLYPH = "\N{REPLACEMENT CHARACTER}"
_LONGEST_TOKEN = 200  # characters that are looked at; more never fit


@lru_cache(maxsize=1)
def standard_families() -> tuple[str, ...]:
    """The font families of every figure: Latin first, then Japanese.

    The Japanese font is registered by its path: importing matplotlib-fontja would change the user's settings.
    """
    if _japanese_font() is None:
        return (LATIN_FAMILY,)
    if JAPANESE_FAMILY not in font_manager.get_font_names():
        font_manager.fontManager.addfont(str(_japanese_font()))
    return (LATIN_FAMILY, JAPANESE_FAMILY)


def _japanese_font() -> Path | None:
    package = importlib.util.find_spec("matplotlib_fontja")
    if package is None or package.origin is None:
        return None
    path = Path(package.origin).parent / "fonts" / "ipaexg.ttf"
    return path if path.is_file() else None


@lru_cache(maxsize=256)
def _characters_of(path: str) -> frozenset[int]:
    """The characters that a font file has outlines for; none if it cannot be read."""
    try:
        font = FT2Font(path)
        return frozenset(font.get_charmap()) if font.scalable else frozenset()
    except (OSError, RuntimeError):
        return frozenset()


def _characters_of_family(family: str) -> frozenset[int]:
    return _characters_of(font_manager.findfont(FontProperties(family=[family]), fallback_to_default=False))


def families_for(texts: Iterable[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """The families that show the texts, and the characters that no installed font shows.

    The standard families do for Latin, Greek, Cyrillic, Arabic and Japanese. For what they lack, the fonts of
    the machine are looked through; the characters that are still missing are named in a warning.
    """
    families = list(standard_families())
    characters = {character for text in texts for character in text}
    known = frozenset[int]().union(*map(_characters_of_family, families))
    missing = {character for character in characters if ord(character) not in known}
    candidates = font_manager.fontManager.ttflist if missing else []
    for font in sorted(
        candidates, key=lambda font: (font.style != "normal", abs(int(font.weight) - 400), font.name)
    ):
        if not missing:
            break
        found = {character for character in missing if ord(character) in _characters_of(font.fname)}
        if found and not font.name.startswith(("Last Resort", ".")):
            families.append(font.name)
            missing -= found
    if missing:
        names = ", ".join(f"{character} (U+{ord(character):04X})" for character in sorted(missing)[:5])
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        advice = (
            "install a font that has them"
            if JAPANESE_FAMILY in families
            else "install the package matplotlib-fontja for Japanese"
        )
        warnings.warn(
            f"no installed font shows {names}{more}; {_NO_GLYPH} is drawn instead: {advice}", stacklevel=3
        )
    return tuple(families), frozenset(missing)


def visible(token: str) -> str:
    """The token on one line, with signs in place of white space and control characters."""
    token = token[:_LONGEST_TOKEN]
    return "".join(
        _VISIBLE.get(character)
        or (_NO_GLYPH if unicodedata.category(character) in ("Cc", "Cs", "Co", "Cn") else character)
        for character in token
    )


def without_missing(text: str, missing: frozenset[str]) -> str:
    """The text with a sign in place of every character that no font has."""
    return "".join(_NO_GLYPH if character in missing else character for character in text)


class Ruler:
    """Measures text in points, in the families given."""

    _SCALE = 10  # dots per point: hinting rounds to whole dots

    def __init__(self, families: Iterable[str]) -> None:
        """Measure with the fonts of these families."""
        self._families = list(families)
        self._widths: dict[tuple[str, float], float] = {}
        self._renderer = RendererAgg(1, 1, 72 * self._SCALE)

    def width(self, text: str, size: float) -> float:
        """The width of one line of text at a font size."""
        if (text, size) not in self._widths:  # the layout asks for a label's width more than once
            properties = FontProperties(family=self._families, size=size)
            width, _, _ = self._renderer.get_text_width_height_descent(text, properties, ismath=False)
            self._widths[text, size] = width / self._SCALE
        return self._widths[text, size]

    def shorten(self, text: str, size: float, most: float) -> str:
        """The text, or as much of its beginning as fits into ``most`` points with an ellipsis."""
        if self.width(text, size) <= most:
            return text
        fits, too_long = 0, len(text)  # how many characters
        while too_long - fits > 1:
            middle = (fits + too_long) // 2
            if self.width(text[:middle] + "…", size) <= most:
                fits = middle
            else:
                too_long = middle
        return text[:fits] + "…"
