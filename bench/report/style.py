"""How figures look: one journal style, two widths, colours that colour-blind readers can tell apart.

Figures are made on `matplotlib.figure.Figure`, without pyplot and so without global state.  The same figure drawn
from the same values is the same bytes: ids are salted with a constant, and no date and no program is written.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from bench.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Widths in inches of one column and of a whole page of a two-column journal.
WIDTHS_IN: Final = {"column": 3.5, "page": 7.2}
PNG_DPI: Final = 300

#: Okabe and Ito, Color Universal Design (2008), without its yellow, which is too faint on white; then a grey.
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")
#: One fewer than colours: a repeated colour comes with another marker.
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X")

#: What each format would say of the day and the program, which are not the figure's.
_METADATA: Final[dict[str, dict[str, None]]] = {
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
}

_JOURNAL: Final[dict[str, Any]] = {
    "axes.axisbelow": True,
    "axes.formatter.min_exponent": 5,  # 600, not 6 × 10²
    "axes.formatter.use_mathtext": True,
    "axes.formatter.useoffset": False,
    "axes.grid": True,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 8,
    "errorbar.capsize": 2,
    "figure.constrained_layout.hspace": 0.06,
    "figure.constrained_layout.wspace": 0.06,
    "font.family": "DejaVu Sans",  # ships with matplotlib, so every machine draws the same
    "font.size": 8,
    "grid.color": "#d9d9d9",
    "grid.linewidth": 0.4,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.title_fontsize": 7,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "mathtext.fontset": "dejavusans",
    "patch.linewidth": 0.6,
    "pdf.fonttype": 42,  # TrueType, embedded: publishers refuse matplotlib's own Type 3
    "svg.fonttype": "path",  # a reader need not have the font
    "svg.hashsalt": "ehrbench",
    "xtick.labelsize": 7,
    "xtick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.labelsize": 7,
    "ytick.major.width": 0.6,
    "ytick.minor.width": 0.4,
}


@contextmanager
def journal_style() -> Iterator[None]:
    """Draw in the journal's style for as long as the context lasts, whatever the user's matplotlibrc says.

    What is drawn on a figure after `new_figure` reads the style again, so the caller of `Figure.draw` holds this.
    """
    from matplotlib import style
    from matplotlib.rcsetup import cycler

    colours = cycler(color=list(COLOURS))
    with style.context({**_JOURNAL, "axes.prop_cycle": colours}, after_reset=True):
        yield


def new_figure(width: Literal["column", "page"], height_in: float, **subplots: Any) -> tuple["Figure", Any]:
    """A figure of a journal's width and ``height_in`` inches, with its axes.

    ``subplots`` are the arguments of matplotlib's ``Figure.subplots``, which also says what the axes are: one, or an
    array of them.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with journal_style():
        figure = Figure(figsize=(WIDTHS_IN[width], height_in), layout="constrained")
        FigureCanvasAgg(figure)
        return figure, figure.subplots(**subplots)


def palette(names: Sequence[str]) -> dict[str, str]:
    """A colour for each of the distinct names, by position: the same list always looks the same.

    Colours repeat after eight names; `markers` then still tell them apart.
    """
    return dict(zip(dict.fromkeys(names), cycle(COLOURS), strict=False))


def markers(names: Sequence[str]) -> dict[str, str]:
    """A matplotlib marker for each of the distinct names, by position."""
    return dict(zip(dict.fromkeys(names), cycle(MARKERS), strict=False))


def render_figure(figure: "Figure") -> dict[str, bytes]:
    """The figure as files, by their suffix."""
    with journal_style():
        # Arranged once: constrained layout is most of the work, and each format would do it twice more.
        figure.draw_without_rendering()
        figure.set_layout_engine(None)
    return {suffix: encode_figure(figure, suffix) for suffix in _METADATA}


def encode_figure(figure: "Figure", suffix: str, **said: str) -> bytes:
    """The figure as a file of one suffix (svg, png or pdf), with what else is ``said`` in its metadata."""
    data = BytesIO()
    with journal_style():
        figure.savefig(data, format=suffix, dpi=PNG_DPI, metadata={**_METADATA[suffix], **said})
    return data.getvalue()


def save_files(files: Mapping[str, bytes], folder: Path, name: str) -> list[Path]:
    """Write what `render_figure` has given as ``name`` with each suffix; their paths, or `BenchError`."""
    paths = [folder / f"{name}.{suffix}" for suffix in files]
    for path, data in zip(paths, files.values(), strict=True):
        write_atomic(path, data)
    return paths
