"""Figures: journal widths, readable sizes, the same bytes each time, no state left behind."""

import struct
import subprocess
import sys
import xml.etree.ElementTree as ET

import pypdf
import pytest

from bench.errors import BenchError
from bench.report.style import COLOURS, MARKERS, journal_style, markers, new_figure, palette, render_figure, save_files


def _draw(width="column"):
    figure, axes = new_figure(width, 2.0)
    names = ["a", "b"]
    for name in names:
        axes.plot([1, 2, 3], [1, 10, 100], color=palette(names)[name], marker=markers(names)[name], label=name)
    axes.set_yscale("log")
    axes.set_title("Title")
    axes.legend(title="Names")
    return figure


def _save(figure, folder):
    return save_files(render_figure(figure), folder, "name")


@pytest.mark.parametrize(("width", "inches"), [("column", 3.5), ("page", 7.2)])
def test_files_are_as_wide_as_the_journal_prints(tmp_path, width, inches):
    svg, png, pdf = _save(_draw(width), tmp_path / "figures")
    assert [svg.name, png.name, pdf.name] == ["name.svg", "name.png", "name.pdf"]
    root = ET.fromstring(svg.read_text())
    assert float(root.get("width").removesuffix("pt")) == pytest.approx(inches * 72)
    assert struct.unpack(">II", png.read_bytes()[16:24]) == (inches * 300, 600)
    page = pypdf.PdfReader(pdf).pages[0]
    assert (float(page.mediabox.width), float(page.mediabox.height)) == pytest.approx((inches * 72, 144))


def test_print_has_its_fonts_in_it_as_truetype_and_says_nothing_of_the_day(tmp_path):
    *_, pdf = _save(_draw(), tmp_path)
    reader = pypdf.PdfReader(pdf)
    fonts = [font.get_object() for font in reader.pages[0]["/Resources"]["/Font"].values()]
    assert fonts
    for font in fonts:
        (below,) = font["/DescendantFonts"] if font["/Subtype"] == "/Type0" else (font,)
        assert "/FontFile2" in below.get_object()["/FontDescriptor"], "TrueType"
    assert not {"/CreationDate", "/Creator", "/Producer"} & {*(reader.metadata or {})}


def test_equal_drawings_are_equal_bytes(tmp_path):
    first = [path.read_bytes() for path in _save(_draw(), tmp_path / "1")]
    second = [path.read_bytes() for path in _save(_draw(), tmp_path / "2")]
    assert first == second
    assert b"<dc:date>" not in first[0]


def test_a_users_settings_do_not_change_a_drawing(tmp_path):
    import matplotlib as mpl

    with journal_style():
        expected = _save(_draw(), tmp_path / "1")[0].read_bytes()
    with mpl.rc_context({"font.size": 30, "axes.grid": False, "lines.linewidth": 9, "savefig.bbox": "tight"}):
        with journal_style():
            figure = _draw()
        assert _save(figure, tmp_path / "2")[0].read_bytes() == expected


def test_style_ends_with_its_context():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    new_figure("page", 1.0)
    assert dict(mpl.rcParams) == before


def test_no_text_is_below_seven_points():
    import matplotlib.text

    with journal_style():
        figure = _draw()
        figure.canvas.draw()
    sizes = [text.get_fontsize() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]
    assert sizes
    assert min(sizes) >= 7


def test_figures_are_not_registered_with_pyplot():
    import matplotlib.pyplot as plt

    _draw()
    assert plt.get_fignums() == []


def test_subplots_are_passed_on():
    _, axes = new_figure("page", 2.0, nrows=2, ncols=3, sharex=True)
    assert axes.shape == (2, 3)


def test_colours_and_markers_are_stable_by_position():
    assert palette(["x", "y"]) == {"x": COLOURS[0], "y": COLOURS[1]}
    assert markers(["x", "x", "y"]) == {"x": MARKERS[0], "y": MARKERS[1]}
    assert len(set(COLOURS)) == len(COLOURS)


def test_no_pair_of_colour_and_marker_repeats_within_fifty_names():
    names = [str(number) for number in range(50)]
    pairs = list(zip(palette(names).values(), markers(names).values(), strict=True))
    assert len(set(pairs)) == 50


def test_an_unwritable_folder_is_named(tmp_path):
    (tmp_path / "figures").write_text("in the way")
    with pytest.raises(BenchError, match="figures/name.svg: expected a file that can be written"):
        _save(_draw(), tmp_path / "figures")


def test_importing_the_package_imports_nothing_heavy():
    heavy = {"pandas", "matplotlib", "seaborn", "rich", "numpy"}
    code = f"import sys, bench.report; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
