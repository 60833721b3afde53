"""LaTeX fragments: a booktabs ``tabular`` in a ``table``, with every special character escaped."""

import re
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any, Final

from bench.experiments.base import Column
from bench.report.layout import CAPACITY, SIDEWAYS, Layout, PrintedColumn, lay_out, print_column, spread

#: Rows of a fragment at most; the CSV holds all.
ROW_LIMIT: Final = 60
#: More do not fit a page.
PAGE_ROWS: Final = 36
_TYPE: Final = {
    size_pt: rf"\{name}\setlength{{\tabcolsep}}{{3pt}}"
    for size_pt, name in ((9, "small"), (8, "footnotesize"), (7, "scriptsize"))
}
#: Widths are of typical characters; a table that its font makes wider than a line is scaled down to it.
_FIT: Final = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
#: Of a long table, which cannot be scaled, columns of texts get so much of their share.
_SPARE: Final = 0.92
_SENTENCE: Final = re.compile(r"(?<=[a-z)][.:]) (?=[A-Z(])")
_PREAMBLE: Final = r"""% Every table and figure of a run, to copy from.  In this folder: pdflatex all
\documentclass[a4paper]{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage[margin=2.5cm]{geometry}
\usepackage{array}      % columns of text
\usepackage{booktabs}   % rules
\usepackage{graphicx}   % figures
\usepackage{longtable}  % tables over pages
\usepackage{pdflscape}  % those on their side
\usepackage{rotating}   % tables on their side
\usepackage{textcomp}   % the micro sign
\title{TITLE}
\date{}
\begin{document}
\maketitle
\listoftables
\listoffigures
\clearpage"""
_ESCAPES: Final = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "#": r"\#",
    "$": r"\$",
    "%": r"\%",
    "&": r"\&",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    '"': r"\char34{}",
    # A row that began with one of these would be read as an argument of the line break before it.
    "[": "{[}",
    "*": "{*}",
    # Two hyphens in a row would be set as one dash: `escape_latex` puts this between them.
    "\0": "{}",
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
    "×": r"$\times$",
    "±": r"$\pm$",
    "−": "$-$",
    "·": r"$\cdot$",
    "°": r"$^{\circ}$",
    "µ": r"\textmu{}",
    "μ": r"\textmu{}",
    "λ": r"$\lambda$",
    "ρ": r"$\rho$",
    "σ": r"$\sigma$",
    "τ": r"$\tau$",
    "κ": r"$\kappa$",
    "β": r"$\beta$",
    "α": r"$\alpha$",
    "Δ": r"$\Delta$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "≠": r"$\neq$",
    "≈": r"$\approx$",
    "→": r"$\to$",
    "∞": r"$\infty$",
    "√": r"$\surd$",
}
_SUPERSCRIPTS: Final = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
_POWER: Final = re.compile("[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_NUMBER: Final = re.compile(r"-(?=[0-9.∞])")


def latex_table(name: str, caption: str, columns: Sequence[PrintedColumn], of_columns: int) -> str:
    r"""A ``table`` with caption and label ``tab:<name>``, upright or on its side, in type that fits 16 cm.

    ``columns`` are those that tell, of ``of_columns`` in all; the first `ROW_LIMIT` rows are set, and what is left
    out is said in the first line.  More than `PAGE_ROWS` rows make a ``longtable``, which breaks over pages.
    Headings are broken into lines of their own, units last, which keeps columns narrow.
    """
    layout = lay_out(columns)
    chosen, count = layout.columns, len(columns[0].cells)
    capacity = SIDEWAYS if layout.is_sideways else CAPACITY[layout.size_pt]
    rows = [_latex_row(cells) for cells in list(zip(*[column.cells for column in chosen], strict=True))[:ROW_LIMIT]]
    counts = ((len(rows), count, "rows"), (len(chosen), of_columns, "columns"))
    said = [f"{shown} of {of} {noun}" for shown, of, noun in counts if shown < of]
    first, *more = _SENTENCE.split(caption, maxsplit=1)
    cut = f"[{{{escape_latex(first)}}}]" if more else ""  # braces: the text may have a bracket
    parts = {
        "caption": rf"\caption{cut}{{{escape_latex(caption)}}}",
        "label": rf"\label{{tab:{name}}}",
        "format": "".join(map(_column_type, chosen, spread(chosen, capacity), repeat(capacity))),
        "head": [r"\toprule", *_heading(chosen), r"\midrule"],
    }
    lines = _long(parts, len(chosen), rows, layout) if len(rows) > PAGE_ROWS else _floating(parts, rows, layout)
    source = f"% From {name}.csv{': ' + ', '.join(said) if said else ''}; all.tex has the packages that it needs."
    return "\n".join([source, *lines]) + "\n"


def latex_rows(
    name: str, caption: str, columns: Sequence[Column], rows: Sequence[Sequence[str]], numeric: Sequence[bool]
) -> str:
    """The same of cells that are texts already, all of which are set."""
    cells = list(zip(*rows, strict=True)) or [()] * len(columns)
    printed = [
        print_column(column.title, column, texts, is_number=is_number)
        for column, texts, is_number in zip(columns, cells, numeric, strict=True)
    ]
    return latex_table(name, caption, printed, len(columns))


def latex_document(title: str, tables: Sequence[str], figures: Sequence[tuple[str, str]]) -> str:
    """A whole document that shows every fragment and every figure (name and caption), to copy from.

    It is compiled in the folder of the fragments: ``pdflatex all``, twice.
    """
    shown = [
        "\n".join([r"\begin{figure}", r"\centering", rf"\includegraphics[width=\linewidth]{{../figures/{name}.pdf}}",
                   rf"\caption[{{{escape_latex(_SENTENCE.split(caption, maxsplit=1)[0])}}}]{{{escape_latex(caption)}}}",
                   rf"\label{{fig:{name}}}", r"\end{figure}", r"\clearpage"])
        for name, caption in figures
    ]  # fmt: skip
    inputs = [rf"\input{{{name}}}\clearpage" for name in tables]
    head = _PREAMBLE.replace("TITLE", escape_latex(title))
    return "\n".join([head, *inputs, *shown, r"\end{document}"]) + "\n"


def _floating(parts: Mapping[str, Any], rows: Sequence[str], layout: Layout) -> list[str]:
    kind = "sidewaystable" if layout.is_sideways else "table"
    return [
        rf"\begin{{{kind}}}", r"\centering", _TYPE[layout.size_pt], parts["caption"], parts["label"],
        _FIT, rf"\begin{{tabular}}{{@{{}}{parts['format']}@{{}}}}", *parts["head"], *rows, r"\bottomrule",
        r"\end{tabular}}", rf"\end{{{kind}}}",
    ]  # fmt: skip


def _long(parts: Mapping[str, Any], count: int, rows: Sequence[str], layout: Layout) -> list[str]:
    begin, end = (r"\begin{landscape}", r"\end{landscape}") if layout.is_sideways else ("{", "}")
    return [
        begin, _TYPE[layout.size_pt], rf"\begin{{longtable}}{{@{{}}{parts['format']}@{{}}}}",
        rf"{parts['caption']}{parts['label']} \\", *parts["head"], r"\endfirsthead", *parts["head"], r"\endhead",
        rf"\midrule \multicolumn{{{count}}}{{@{{}}r@{{}}}}{{continued}} \\ \endfoot", r"\bottomrule \endlastfoot",
        *rows, r"\end{longtable}", end,
    ]  # fmt: skip


def _column_type(column: PrintedColumn, width: int, capacity: int) -> str:
    if column.is_number:
        return "r"
    if column.longest <= width:
        return "l"
    return rf">{{\raggedright\arraybackslash}}p{{{_SPARE * width / capacity:.3f}\linewidth}}"


def _heading(columns: Sequence[PrintedColumn]) -> list[str]:
    """Lines of the headings, the last ones beside each other."""
    depth = max(len(column.head) for column in columns)
    lines = zip(*[[""] * (depth - len(column.head)) + [*column.head] for column in columns], strict=True)
    return [_latex_row(line) for line in lines]


def escape_latex(text: str) -> str:
    """``text`` on one line, set as it is in LaTeX's text mode; control characters are dropped."""
    plain = "".join(c for c in " ".join(text.split()) if c.isprintable())
    apart = plain.replace("--", "-\0-").replace("--", "-\0-")
    return _POWER.sub(_set_power, "".join(_ESCAPES.get(c, c) for c in apart))


def _set_power(match: re.Match[str]) -> str:
    return f"$^{{{match.group().translate(_SUPERSCRIPTS)}}}$"


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(_latex_cell(cell) for cell in cells) + r" \\"


def _latex_cell(cell: str) -> str:
    """A cell, with a negative number's sign set as a minus."""
    return "$-$" + escape_latex(cell[1:]) if _NUMBER.match(cell) else escape_latex(cell)
