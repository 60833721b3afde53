"""Forest plots of ratios: a row each, its interval a line, and 1 the line that an interval has to leave.

A filled mark is a ratio that is resolved, a hollow one is not; a cross is an A/A control; the grey band is the effect
that is called none.  Runs have marks of different shapes, so that the figure reads in grey, too.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.analysis.paired import MIN_EFFECT
from bench.errors import BenchError
from bench.files import write_atomic
from bench.report.style import COLOURS, MARKERS, encode_figure, journal_style, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MplFigure

#: Suffix -> where the file says what it shows.
_CAPTIONS: Final = {".svg": "Description", ".pdf": "Subject", ".png": "Description"}
#: More rows are no figure that a journal prints.
MOST_ROWS: Final = 60
_GREY: Final = "#7F7F7F"
#: Panels side by side wrap after so many, unless they have more rows than would fit below each other.
_ABREAST, _FEW_ROWS = 3, 12
#: Inches: of a row, of each further mark in it, of a panel's title and axis, of the legend.
_ROW_IN, _MARK_IN, _FRAME_IN, _LEGEND_IN = 0.16, 0.07, 0.62, 0.14
#: Letters of a legend's line on a page, and what a mark takes of them.
_LEGEND_LETTERS, _HANDLE_LETTERS = 120, 8
#: Characters of a label beside which one column of a journal has no room for a panel.
_LONG_LABEL: Final = 30


@dataclass(frozen=True, slots=True)
class Point:
    """A ratio; ``low`` and ``high`` are NaN without an interval; ``series`` is the place of its run."""

    value: float
    low: float
    high: float
    is_resolved: bool
    is_control: bool = False
    series: int = 0


@dataclass(frozen=True, slots=True)
class Panel:
    """Rows of labels with their points; one without points is the heading of those below it."""

    title: str
    axis: str
    rows: Sequence[tuple[str, Sequence[Point]]]


def validate_figure(path: Path) -> None:
    """Raise `BenchError` unless the path names a format that can be written."""
    if path.suffix.lower() not in _CAPTIONS:
        raise BenchError(f"--figure: expected a file that ends in {', '.join(_CAPTIONS)}, found {path}")


def write_figure(path: Path, panels: Sequence[Panel], series: Sequence[str], caption: str, *, is_stacked: bool) -> None:
    """Draw the panels and write them; equal panels give equal bytes.

    Panels that share their rows stand side by side, others below each other (``is_stacked``).  Raises `BenchError` for
    a format that is none, for too many rows, and for a file that cannot be written.
    """
    validate_figure(path)
    shown = [panel for panel in panels if panel.rows]
    count = (
        sum(len(panel.rows) for panel in shown) if is_stacked else max((len(item.rows) for item in shown), default=0)
    )
    if not 0 < count <= MOST_ROWS:
        raise BenchError(f"--figure: expected 1 to {MOST_ROWS} rows, found {count}: choose some with --where")
    with journal_style():
        figure = _draw_stacked(shown, series) if is_stacked else _draw_abreast(shown)
        if len(series) > 1:
            handles = [_draw_handle(place) for place in range(len(series))]
            names = [name.replace("$", r"\$") for name in series]  # no formulas
            figure.legend(handles, names, loc="outside upper center", ncols=_count_columns(series))
    suffix = path.suffix.lower()
    write_atomic(path, encode_figure(figure, suffix[1:], **{_CAPTIONS[suffix]: caption}))


def _draw_stacked(panels: Sequence[Panel], series: Sequence[str]) -> "MplFigure":
    heights = [_FRAME_IN + len(panel.rows) * _height_of_row(panel) for panel in panels]
    legend = _LEGEND_IN + _ROW_IN * math.ceil(len(series) / _count_columns(series))
    figure, grid = new_figure(
        "page", sum(heights) + legend, nrows=len(panels), squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    for axes, panel in zip(grid[:, 0], panels, strict=True):
        _draw_panel(axes, panel)
        _label_rows(axes, panel)
    return figure


def _count_columns(series: Sequence[str]) -> int:
    """How many names of a legend have room side by side on a page."""
    return max(1, min(len(series), _LEGEND_LETTERS // (max(map(len, series)) + _HANDLE_LETTERS)))


def _draw_abreast(panels: Sequence[Panel]) -> "MplFigure":
    rows = max(len(panel.rows) for panel in panels)
    columns = min(len(panels), _ABREAST) if rows <= _FEW_ROWS else len(panels)
    lines = math.ceil(len(panels) / columns)
    height = lines * (_FRAME_IN + rows * max(map(_height_of_row, panels)))
    longest = max(len(label) for panel in panels for label, _ in panel.rows)
    width: Any = "column" if columns == 1 and longest <= _LONG_LABEL else "page"
    figure, grid = new_figure(width, height, nrows=lines, ncols=columns, squeeze=False, sharey=True)
    for place, axes in enumerate(grid.flat):
        if place >= len(panels):
            axes.set_visible(False)
            continue
        _draw_panel(axes, panels[place], columns)
        if place % columns == 0:
            _label_rows(axes, panels[place])
    return figure


def _label_rows(axes: "Axes", panel: Panel) -> None:
    axes.set_yticks(range(len(panel.rows)), [label for label, _ in panel.rows])
    for tick, (_, points) in zip(axes.get_yticklabels(), panel.rows, strict=True):
        tick.set_fontweight("normal" if points else "bold")


def _height_of_row(panel: Panel) -> float:
    marks = max(len(points) for _, points in panel.rows)
    return _ROW_IN + _MARK_IN * (marks - 1)


def _draw_panel(axes: "Axes", panel: Panel, abreast: int = 1) -> None:
    axes.axvspan(1 / (1 + MIN_EFFECT), 1 + MIN_EFFECT, color="#e8e8e8", linewidth=0, zorder=0)
    axes.axvline(1, color="black", linewidth=0.8, zorder=1)
    for row, (_, points) in enumerate(panel.rows):
        for step, point in enumerate(points):
            spot = row if len(points) == 1 else row - 0.3 + 0.6 * step / (len(points) - 1)
            _draw_point(axes, point, spot)
    axes.set(title=panel.title, xlabel=panel.axis, xscale="log", xlim=_find_limits(panel))
    axes.set_ylim(len(panel.rows) - 0.45, -0.55)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    _style_ratios(axes, abreast)


def _draw_point(axes: "Axes", point: Point, spot: float) -> None:
    if not 0 < point.value < math.inf:
        return
    style = _style_of(point.series, is_resolved=point.is_resolved, is_control=point.is_control)
    reach = [[0.0], [0.0]]
    if not math.isnan(point.low + point.high):
        reach = [[max(point.value - point.low, 0.0)], [max(point.high - point.value, 0.0)]]
    axes.errorbar([point.value], [spot], xerr=reach, linestyle="none", elinewidth=0.9, zorder=3, **style)


def _style_of(series: int, *, is_resolved: bool, is_control: bool) -> dict[str, Any]:
    if is_control:
        return {"color": _GREY, "marker": "x", "markersize": 4}
    colour = COLOURS[series % len(COLOURS)]
    fill = colour if is_resolved else "white"
    return {"color": colour, "marker": MARKERS[series % len(MARKERS)], "markerfacecolor": fill, "markersize": 4}


def _draw_handle(series: int) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], linestyle="none", **_style_of(series, is_resolved=True, is_control=False))


def _find_limits(panel: Panel) -> tuple[float, float]:
    """A little more than what the points and their intervals take, and 1 with the band around it."""
    ends = [end for _, points in panel.rows for point in points for end in _ends_of(point)]
    low, high = min([*ends, 1 / (1 + 2 * MIN_EFFECT)]), max([*ends, 1 + 2 * MIN_EFFECT])
    room = (high / low) ** 0.06
    return low / room, high * room


def _ends_of(point: Point) -> Iterator[float]:
    return (end for end in (point.value, point.low, point.high) if 0 < end < math.inf)


def _style_ratios(axes: "Axes", abreast: int) -> None:
    """Plain numbers, at even steps where the axis is short, and at those that a reader thinks in where it is long.

    The more panels stand ``abreast``, the fewer steps have room.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    low, high = axes.get_xlim()
    span = high / low
    even = MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10])
    axes.xaxis.set_major_locator(even if span < 4 else LogLocator(subs=(1, 2, 5) if span < 600 / 2**abreast else (1,)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
