"""One style for every figure: colours, sizes, and files that come out the same each time.

The style holds inside `style()` only; the user's own Matplotlib settings neither change nor leak in.
"""

import io
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure as MatplotlibFigure

from shisen.errors import UserError
from shisen.files import write_atomically

#: The colours of Okabe and Ito (2008), told apart under every common colour blindness; black is for text.
CATEGORICAL = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D00")
INK = "#222222"
FAINT = "#DDE1E6"

STYLE: dict[str, Any] = {
    "font.size": 9.0,
    "axes.labelsize": 9.0,
    "axes.titlesize": 10.0,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#555555",
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.5,
    "text.parse_math": False,  # a token with $ _ ^ or \ is shown as it is
    "savefig.dpi": 200,
    "pdf.fonttype": 42,  # fonts go into the file whole, so that the text can be searched and edited
    "ps.fonttype": 42,
    "svg.fonttype": "path",  # letters as outlines: the picture is the same where the font is missing
    "svg.hashsalt": "shisen",
}

_IMAGE_FORMATS = ("png", "svg", "pdf")
#: What is left out of the files, so that the same figure gives the same bytes on any day.
_UNDATED: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}

_MOST_PIXELS = 2**28  # of a PNG: a gibibyte while it is drawn

_lock = threading.RLock()  # Matplotlib's settings are global; figures made in threads take turns


@contextmanager
def style(families: Sequence[str] | None = None) -> Iterator[None]:
    """Matplotlib's defaults with our style on top, until the block ends.

    Args:
        families: Font families in the order in which a glyph is looked for. None: the standard ones.
    """
    from shisen.plotting.text import standard_families

    families = list(families or standard_families())
    with _lock, matplotlib.style.context(["default", {**STYLE, "font.family": families}]):
        yield


class Figure(MatplotlibFigure):
    """A Matplotlib figure that keeps our style when it is drawn, and that notebooks show by themselves."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Make the figure, with a canvas that needs no screen."""
        super().__init__(*args, **options)
        FigureCanvasAgg(self)

    def draw(self, renderer: Any) -> None:
        """Draw in our style, whoever asks."""
        with style():
            super().draw(renderer)

    def savefig(self, fname: Any, **options: Any) -> None:
        """Write the figure (options as Matplotlib's); fonts are embedded and no date is written."""
        kind = options.get("format") or Path(str(fname)).suffix.lstrip(".").lower()
        options.setdefault("metadata", _UNDATED.get(kind))
        with style():
            super().savefig(fname, **options)

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=120)
        return buffer.getvalue()


def image_format(path: str | os.PathLike[str]) -> str:
    """The format that a file's extension names; anything but PNG, SVG and PDF is refused."""
    kind = Path(path).suffix.lstrip(".").lower()
    if kind not in _IMAGE_FORMATS:
        given = f"the extension .{kind}" if kind else "a name without extension"
        raise UserError(f"{path}: {given} names no image format; use .png, .svg or .pdf")
    return kind


def save_figure(figure: Figure, path: str | os.PathLike[str], dpi: int | None = None) -> None:
    """Write a figure as PNG, SVG or PDF, by the file's extension; the file appears only when it is whole.

    Args:
        figure: What to write.
        path: Where to; folders that are missing are made.
        dpi: Pixels per inch of a PNG, and of a long sentence's cells in the others.
            None: 200.

    Raises:
        UserError: The place or the size is impossible.
        RunError: The file could not be written (a full disk).
    """
    path = Path(path)
    kind = image_format(path)
    if path.is_dir():
        raise UserError(f"{path}: is a directory; name a file in it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path}: its folder cannot be made ({error.strerror})") from None
    dpi = dpi or STYLE["savefig.dpi"]
    width, height = (int(side * dpi) for side in figure.get_size_inches())
    if kind == "png" and (max(width, height) >= 2**16 or width * height > _MOST_PIXELS):
        raise UserError(
            f"{path}: a picture of {width:,} x {height:,} pixels is too large: lower the resolution, or "
            "write an .svg or .pdf"
        )
    picture = io.BytesIO()  # Matplotlib itself fails in many ways where a disk is full
    figure.savefig(picture, format=kind, dpi=dpi)
    write_atomically(path, picture.getvalue())


def _sequential(steps: int = 256) -> ListedColormap:
    """From white through blue to near black, in equal steps of perceived lightness (OKLab, Ottosson 2020).

    Lightness alone carries the value, so the map reads the same in grey and under any colour blindness.
    """
    t = np.linspace(0, 1, steps)
    lightness = 1 - 0.72 * t
    chroma = 0.13 * np.sin(0.85 * np.pi * t)
    hue = np.deg2rad(215 + 60 * t)
    a, b = chroma * np.cos(hue), chroma * np.sin(hue)
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = np.stack(
        [
            4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
            -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
            -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
        ],
        axis=-1,
    ).clip(0, 1)  # [steps, 3]
    colors = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return ListedColormap(colors, name="shisen")


#: The colours of attention weights.
SEQUENTIAL = _sequential()


def relative_luminance(color: Sequence[float] | np.ndarray) -> float:
    """How bright a colour ``(red, green, blue, …)`` is, from 0 to 1, as WCAG 2 defines it."""
    channels = np.asarray(color[:3], dtype=float)
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def text_color_on(color: Sequence[float] | np.ndarray) -> str:
    """Black or white, whichever contrasts more with a background."""
    luminance = relative_luminance(color)
    return "white" if 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.06 else INK
