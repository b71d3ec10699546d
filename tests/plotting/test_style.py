"""The style and the files: alike on any day, in any thread, whatever the user's own settings are."""

import subprocess
import sys
import threading
import xml.etree.ElementTree as ElementTree

import matplotlib
import numpy as np
import pytest
from drawn import make_map, texts_of

from shisen import UserError
from shisen.plotting import Figure, plot_bars, plot_curves, save_figure
from shisen.plotting.style import CATEGORICAL, SEQUENTIAL, relative_luminance, text_color_on

SIGNATURES = {"png": b"\x89PNG\r\n\x1a\n", "svg": b"<?xml", "pdf": b"%PDF"}


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_the_same_figure_gives_the_same_bytes(tmp_path, kind):
    for name in ("one", "two"):
        save_figure(make_map(heads=2).plot(), tmp_path / f"{name}.{kind}")
    one, two = ((tmp_path / f"{name}.{kind}").read_bytes() for name in ("one", "two"))
    assert one == two
    assert one.startswith(SIGNATURES[kind])
    assert len(list(tmp_path.iterdir())) == 2


def test_an_svg_is_whole_undated_and_needs_no_font(tmp_path):
    save_figure(make_map().plot(), tmp_path / "a.SVG")
    text = (tmp_path / "a.SVG").read_text()
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert "dc:date" not in text
    assert "font-family" not in text


def test_a_pdf_embeds_its_fonts_as_truetype_and_has_no_date(tmp_path):
    save_figure(make_map().plot(), tmp_path / "a.pdf")
    data = (tmp_path / "a.pdf").read_bytes()
    assert b"/FontFile2" in data
    assert b"/Type3" not in data
    assert b"IPAexGothic" in data
    assert b"CreationDate" not in data


def test_savefig_itself_writes_in_our_style(tmp_path):
    make_map().plot().savefig(tmp_path / "a.pdf")
    assert b"/Type3" not in (tmp_path / "a.pdf").read_bytes()


def test_the_resolution_sets_the_pixels(tmp_path):
    figure = make_map().plot()
    for dpi in (50, 100):
        save_figure(figure, tmp_path / f"{dpi}.png", dpi)
    widths = [int.from_bytes((tmp_path / f"{dpi}.png").read_bytes()[16:20], "big") for dpi in (50, 100)]
    assert widths[1] == pytest.approx(figure.get_figwidth() * 100, abs=1)
    assert widths[1] == pytest.approx(2 * widths[0], abs=2)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.gif", r"the extension \.gif names no image format; use \.png, \.svg or \.pdf"),
        ("picture", "a name without extension names no image format"),
        ("a.png.gz", r"the extension \.gz"),
    ],
)
def test_other_formats_are_refused_with_the_list(tmp_path, name, message):
    with pytest.raises(UserError, match=message):
        save_figure(make_map().plot(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_and_a_picture_too_large_are_refused(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(UserError, match="is a directory"):
        save_figure(make_map().plot(), tmp_path / "a.png")
    with pytest.raises(
        UserError,
        match=r"b.png: a picture of [\d,]+ x [\d,]+ pixels is too large: lower the resolution",
    ):
        save_figure(make_map().plot(), tmp_path / "b.png", dpi=100_000)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_missing_folders_are_made(tmp_path):
    save_figure(make_map().plot(), tmp_path / "a" / "b" / "c.png")
    assert (tmp_path / "a" / "b" / "c.png").is_file()


def test_a_notebook_shows_the_figure_without_pyplot():
    png = make_map().plot()._repr_png_()
    assert png.startswith(SIGNATURES["png"])


def test_the_users_settings_neither_change_nor_leak_in(tmp_path):
    plain = make_map().plot()._repr_png_()
    with matplotlib.rc_context(
        {"font.size": 30, "text.usetex": False, "axes.facecolor": "red", "font.family": "serif"}
    ):
        before = dict(matplotlib.rcParams.copy())
        odd = make_map().plot()
        assert odd._repr_png_() == plain
        save_figure(odd, tmp_path / "a.svg")
        assert dict(matplotlib.rcParams.copy()) == before


def test_figures_are_made_without_pyplot_or_the_font_packages_settings():
    code = (
        "import sys, matplotlib; before = dict(matplotlib.rcParams.copy())\n"
        "from shisen import AttentionMap\n"
        "AttentionMap.from_arrays([[1.0]], ['私'], ['I']).plot()._repr_png_()\n"
        "assert dict(matplotlib.rcParams.copy()) == before\n"
        "print({'matplotlib.pyplot', 'matplotlib_fontja', 'torch'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_threads_draw_what_one_alone_draws():
    expected = make_map().plot()._repr_png_()
    pictures = []
    threads = [
        threading.Thread(target=lambda: pictures.append(make_map().plot()._repr_png_())) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pictures == [expected] * 4


def test_every_plot_returns_our_figure():
    records = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}]
    for figure in (make_map().plot(), plot_bars(make_map(), 0), plot_curves({"run": records})):
        assert isinstance(figure, Figure)
        assert texts_of(figure)


def test_the_map_of_colours_goes_from_white_to_dark_in_even_steps_of_lightness():
    colors = SEQUENTIAL(np.linspace(0, 1, 32))
    lightness = np.cbrt([relative_luminance(color) for color in colors])
    steps = -np.diff(lightness)
    assert relative_luminance(colors[0]) == pytest.approx(1)
    assert relative_luminance(colors[-1]) < 0.05
    assert steps.min() > 0.6 * steps.mean()
    assert steps.max() < 1.6 * steps.mean()


@pytest.mark.parametrize("value", np.linspace(0, 1, 11))
def test_numbers_have_the_contrast_that_small_text_needs_on_every_colour(value):
    background = SEQUENTIAL(float(value))
    luminance = relative_luminance(background)
    ink = relative_luminance(matplotlib.colors.to_rgb(text_color_on(background)))
    ratio = (max(ink, luminance) + 0.05) / (min(ink, luminance) + 0.05)
    assert ratio >= 3.9  # WCAG asks 3 of graphics and 4.5 of running text; the middle of any map is between


def test_the_colours_of_curves_differ_in_lightness_or_hue_under_colour_blindness():
    # Viénot, Brettel and Mollon (1999): how a dichromat without green cones sees linear RGB.
    deuteranope = np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]])
    colors = np.array([matplotlib.colors.to_rgb(color) for color in CATEGORICAL]) ** 2.2
    seen = (colors @ deuteranope.T).clip(0, 1) ** (1 / 2.2)
    distances = np.linalg.norm(seen[:, None] - seen[None], axis=-1) + np.eye(len(seen))
    assert distances.min() > 0.1
