"""LaTeX fragments: structure that TeX would check, every special character escaped, nothing wider than the page."""

import math
import re
import string
from pathlib import Path

import pandas as pd
import pytest

from bench import experiments
from bench.experiments.base import Column, Table
from bench.report.latex import ROW_LIMIT, escape_latex, latex_document, latex_table
from bench.report.layout import CAPACITY, SIDEWAYS, lay_out, main_columns, measure, print_columns, spread
from bench.report.tables import write_table

ROOT = Path(__file__).parents[2]
COLUMNS = {"name": Column("Name_1"), "size": Column("Size of it", "µs", ".3g"), "is_fast": Column("Fast")}
FRAME = pd.DataFrame({"name": ["x_y", "a|b"], "size": [1 / 3, math.nan], "is_fast": [True, False]})
#: What T1 fonts have beyond ASCII of what escapes leave.
LETTERS = {*string.printable, *"äöüÄÖÜßéèçñ‘’“”«»§¹²³½"}


def _table(**changes):
    caption = "Speed & size. More of it."
    fields = {"name": "demo", "caption": caption, "columns": COLUMNS, "build": lambda raw: raw} | changes
    return Table(**fields)


def _write(table, frame):
    return latex_table(table.name, table.caption, main_columns(table, print_columns(table, frame)), len(frame.columns))


def check_structure(text):
    """What TeX would stop at: braces, environments, alignment, characters; the number of rows."""
    bare = re.sub(r"\\[\\{}&%$#_]", "", "\n".join(text.splitlines()[1:]))
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    depth = 0
    for sign in re.findall(r"[{}]", bare):
        depth += 1 if sign == "{" else -1
        assert depth >= 0
    opened = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        opened.append(name) if kind == "begin" else None
        assert kind == "begin" or opened.pop() == name
    assert opened == []
    assert {*text} <= LETTERS, {*text} - LETTERS
    form = re.search(r"\\begin\{(?:tabular|longtable)\}\{@\{\}(.*)@\{\}\}", text)[1]
    count = len(re.sub(r">\{[^}]*\}p\{[^}]*\}", "p", form))
    lines = [line for line in text.splitlines() if line.endswith(r" \\")]
    rows = [line for line in lines if not line.startswith((r"\caption", r"\midrule"))]
    for row in rows:
        assert len(re.findall(r"(?<!\\)&", row)) == count - 1, row
    shares = [float(share) for share in re.findall(r"p\{([.\d]+)\\linewidth\}", form)]
    assert sum(shares) <= 1
    return rows


def test_a_fragment_is_a_booktabs_table():
    assert _write(_table(), FRAME).splitlines() == [
        "% From demo.csv; all.tex has the packages that it needs.",
        r"\begin{table}",
        r"\centering",
        r"\small\setlength{\tabcolsep}{3pt}",
        r"\caption[{Speed \& size.}]{Speed \& size. More of it.}",
        r"\label{tab:demo}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        r"\begin{tabular}{@{}lrl@{}}",
        r"\toprule",
        r" & Size &  \\",
        r" & of it &  \\",
        r"Name\_1 & {[}\textmu{}s] & Fast \\",
        r"\midrule",
        r"x\_y & 0.333 & yes \\",
        r"a\textbar{}b & -- & no \\",
        r"\bottomrule",
        r"\end{tabular}}",
        r"\end{table}",
    ]
    check_structure(_write(_table(), FRAME))


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("\\{}$%&#_~^", r"\textbackslash{}\{\}\$\%\&\#\_\textasciitilde{}\textasciicircum{}"),
        ("[optional] *star*", "{[}optional] {*}star{*}"),
        ("<script>", r"\textless{}script\textgreater{}"),
        ("---", r"-{}-{}-"),
        ("1.2×10⁻⁵", r"1.2$\times$10$^{-5}$"),
        ("a\n\tb\x00\x1b", "a b"),
        ("Müller", "Müller"),
    ],
)
def test_specials_are_set_as_they_are(text, escaped):
    assert escape_latex(text) == escaped


def test_negative_numbers_have_a_minus():
    table = _table(columns={"x": Column("X", "", ".1f")})
    text = _write(table, pd.DataFrame({"x": [-1.5, math.inf, -math.inf]}))
    assert "$-$1.5 \\\\\n$\\infty$ \\\\\n$-$$\\infty$ \\\\" in text


def test_only_telling_columns_are_set_and_the_rest_is_said():
    text = _write(_table(highlights=("size", "name")), FRAME)
    assert text.startswith("% From demo.csv: 2 of 3 columns; ")
    assert check_structure(text)[-2:] == [r"0.333 & x\_y \\", r"-- & a\textbar{}b \\"]


def test_long_tables_break_over_pages_and_end():
    frame = pd.DataFrame({"x": range(500)})
    text = _write(_table(columns={"x": Column("X")}), frame)
    assert text.startswith(f"% From demo.csv: {ROW_LIMIT} of 500 rows; ")
    assert r"\begin{longtable}{@{}r@{}}" in text
    rows = check_structure(text)
    assert rows[-1] == rf"{ROW_LIMIT - 1} \\"
    assert [text.count(word) for word in (r"\endfirsthead", r"\endhead", r"\endfoot", r"\endlastfoot")] == [1] * 4


def test_wide_tables_are_set_smaller_then_on_their_side_then_without_their_last_columns():
    def columns(count):
        table = _table(columns={f"c{n}": Column(f"Col {n}") for n in range(count)})
        return print_columns(table, pd.DataFrame({f"c{n}": [1234567.5] for n in range(count)}))

    seen = [(lay_out(columns(n)).size_pt, lay_out(columns(n)).is_sideways, lay_out(columns(n)).left_out)
            for n in (8, 11, 12, 18, 30)]  # fmt: skip
    assert seen[0] == (9, False, 0)
    assert [is_sideways for _, is_sideways, _ in seen] == sorted(is_sideways for _, is_sideways, _ in seen)
    assert seen[-1][1:] == (True, 30 - len(lay_out(columns(30)).columns))
    for count in range(1, 40):
        layout = lay_out(columns(count))
        assert measure(layout.columns) <= (SIDEWAYS if layout.is_sideways else CAPACITY[layout.size_pt])
        assert len(layout.columns) + layout.left_out == count


def test_texts_share_what_is_left_and_numbers_take_what_they_need():
    table = _table(columns={"a": Column("A"), "n": Column("N"), "b": Column("B")})
    columns = print_columns(table, pd.DataFrame({"a": ["word " * 30], "n": [123456], "b": ["x" * 40]}))
    assert columns[2].cells == ("x" * 16 + "…",)
    assert spread(columns, 100)[1] == 6
    assert sum(spread(columns, 100)) + 4 == 100


def test_every_table_of_the_kept_runs_is_a_sound_fragment():
    seen = 0
    for experiment in map(experiments.find_experiment, experiments.QUESTIONS):
        for table in experiment.tables:
            kept = sorted(ROOT.glob(f"results/*/tables/{table.name}.csv"))
            frames = [frame for frame in map(pd.read_csv, kept) if list(frame.columns) == list(table.columns)]
            for frame in frames[:1]:
                check_structure(_write(table, frame.head(80)))
                seen += 1
    assert seen > 60


def test_the_document_inputs_every_fragment_and_shows_every_figure(tmp_path):
    text = latex_document("A & B", ["one", "two"], [("f", "50 % of it. And more.")])
    assert re.findall(r"\\input\{(\w+)\}", text) == ["one", "two"]
    assert r"\includegraphics[width=\linewidth]{../figures/f.pdf}" in text
    assert r"\caption[{50 \% of it.}]{50 \% of it. And more.}" in text
    for package in ("array", "booktabs", "graphicx", "longtable", "pdflscape", "rotating", "textcomp"):
        assert f"\\usepackage{{{package}}}" in text
    _, tex = write_table(_table(), FRAME, tmp_path)
    assert tex.read_text(encoding="utf-8") == _write(_table(), FRAME)
