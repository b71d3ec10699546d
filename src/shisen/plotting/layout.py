"""Panels laid out by measuring: every label gets the room it needs, and the figure grows to hold them all.

All lengths are in points, 72 to the inch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes

from shisen.plotting.style import STYLE, Figure
from shisen.plotting.text import Ruler

MARGIN = 6.0  # around everything
GAP = 12.0  # between panels
PAD = 4.0  # between a label and what it names
LINE = 1.25  # the height of a line of text, in font sizes
WIDEST_LABEL = 110.0
WIDEST_TITLE = 200.0
TITLE_SIZE: float = STYLE["axes.titlesize"]
NAME_SIZE: float = STYLE["axes.labelsize"]
SLANT = 45  # degrees, of column labels too wide to lie flat


@dataclass(frozen=True)
class Panel:
    """What a panel needs room for: its own size, and the labels of its rows and columns."""

    width: float
    height: float
    row_labels: tuple[str, ...]
    column_labels: tuple[str, ...] = ()
    title: str = ""


@dataclass(frozen=True)
class Place:
    """Where a panel lies (from the left and from the top), which labels it shows, and how it is titled."""

    left: float
    top: float
    shows_rows: bool
    shows_columns: bool
    title: str


class Layout:
    """Panels in a grid. Labels that repeat those of the panel to the left, or above, are drawn once."""

    def __init__(
        self,
        panels: Sequence[Panel],
        columns: int,
        ruler: Ruler,
        label_size: float,
        axis_names: tuple[str, str],
        right: float = 0.0,
        footer: float = 0.0,
    ) -> None:
        """Find the place of every panel.

        Args:
            panels: Row by row.
            columns: How many stand side by side.
            ruler: Measures the labels.
            label_size: The font size of row and column labels.
            axis_names: What rows and columns are called; empty strings take no room.
            right: Room to the right of all panels, for a colour bar.
            footer: Room below each row of panels.
        """
        self.panels = panels
        self.columns = columns
        self.label_size = label_size
        self.axis_names = axis_names
        self._ruler = ruler
        self.rotation = self._rotation()
        shows_rows = [
            i % columns == 0 or panel.row_labels != panels[i - 1].row_labels for i, panel in enumerate(panels)
        ]
        shows_columns = [
            bool(panel.column_labels)
            and (i < columns or panel.column_labels != panels[i - columns].column_labels)
            for i, panel in enumerate(panels)
        ]
        self._titles = [ruler.shorten(panel.title, TITLE_SIZE, WIDEST_TITLE) for panel in panels]
        rows = range(math.ceil(len(panels) / columns))
        in_column = [range(c, len(panels), columns) for c in range(columns)]
        in_row = [range(r * columns, min((r + 1) * columns, len(panels))) for r in rows]
        name_room = NAME_SIZE * LINE + PAD

        def before(i: int) -> float:  # to the left of panel i
            has_name = bool(axis_names[0]) and i % columns == 0
            return self._row_room(panels[i]) + has_name * name_room if shows_rows[i] else 0.0

        def above(i: int) -> float:
            has_name = bool(axis_names[1]) and i < columns
            labels = self._column_room(panels[i]) + has_name * name_room if shows_columns[i] else 0.0
            return labels + (TITLE_SIZE * LINE + PAD if self._titles[i] else 0.0)

        lefts, tops = [], []
        x = MARGIN
        for c in range(columns):
            width = max(max(panels[i].width, ruler.width(self._titles[i], TITLE_SIZE)) for i in in_column[c])
            room = max(before(i) for i in in_column[c])
            lefts.append([x + room + (width - panels[i].width) / 2 for i in in_column[c]])
            x += room + width + GAP
        self.right_edge = x - GAP
        y = MARGIN
        for r in rows:
            y += max(above(i) for i in in_row[r])
            tops.append(y)
            y += max(panels[i].height for i in in_row[r]) + footer + GAP
        overhang = max(self._overhang(panels[i]) for i in in_column[-1])
        self.width = self.right_edge + max(right, overhang) + MARGIN
        self.height = y - GAP + MARGIN
        self.places = [
            Place(
                lefts[i % columns][i // columns], tops[i // columns], shows_rows[i], shows_columns[i], title
            )
            for i, title in enumerate(self._titles)
        ]

    def figure(self, least_height: float = 0.0) -> Figure:
        """An empty figure of the size that the panels need."""
        self.height = max(self.height, least_height)
        return Figure(figsize=(self.width / 72, self.height / 72))

    def axes(self, figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
        """Axes at a place of the figure."""
        bottom = self.height - top - height
        return figure.add_axes(
            (left / self.width, bottom / self.height, width / self.width, height / self.height)
        )

    def draw_names(self, axes: Axes, number: int) -> None:
        """Write a panel's title and the names of its axes, clear of its labels."""
        panel, place = self.panels[number], self.places[number]
        height = self._column_room(panel) if place.shows_columns else 0.0
        options: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "center"}
        if place.shows_columns and self.axis_names[1] and number < self.columns:
            axes.annotate(
                self.axis_names[1], (0.5, 1), (0, height + PAD), va="bottom", fontsize=NAME_SIZE, **options
            )
            height += NAME_SIZE * LINE + PAD
        if place.title:
            axes.annotate(
                place.title, (0.5, 1), (0, height + PAD), va="bottom", fontsize=TITLE_SIZE, **options
            )
        if place.shows_rows and self.axis_names[0] and number % self.columns == 0:
            left = -self._row_room(panel) - PAD
            axes.annotate(
                self.axis_names[0], (0, 0.5), (left, 0), va="center", rotation=90, fontsize=NAME_SIZE,
                rotation_mode="anchor", **options,
            )  # fmt: skip

    def _rotation(self) -> int:
        """The angle of all column labels: flat where they fit, slanted where there is room, else upright."""
        panels = [panel for panel in self.panels if panel.column_labels]
        if not panels:
            return 0
        cell = min(panel.width / len(panel.column_labels) for panel in panels)
        widest = max(self._widest(panel.column_labels) for panel in panels)
        if widest <= cell - PAD:
            return 0
        return SLANT if cell >= 1.5 * self.label_size else 90

    def _widest(self, labels: Sequence[str]) -> float:
        return max((self._ruler.width(label, self.label_size) for label in labels), default=0.0)

    def _row_room(self, panel: Panel) -> float:
        return self._widest(panel.row_labels) + 2 * PAD

    def _column_room(self, panel: Panel) -> float:
        angle = math.radians(self.rotation)
        line = self.label_size * LINE
        return self._widest(panel.column_labels) * math.sin(angle) + line * math.cos(angle) + PAD

    def _overhang(self, panel: Panel) -> float:
        """How far slanted column labels reach beyond the right side of their panel."""
        if self.rotation != SLANT:
            return 0.0
        cell = panel.width / max(1, len(panel.column_labels))
        reach = math.cos(math.radians(SLANT))
        ends = [
            (i + 0.5) * cell + (self._ruler.width(label, self.label_size) + self.label_size) * reach
            for i, label in enumerate(panel.column_labels)
        ]
        return max(0.0, max(ends, default=0.0) - panel.width)
