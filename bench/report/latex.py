"""LaTeX fragments: a booktabs ``tabular`` in a ``table``, with every special character escaped."""

import re
from collections.abc import Sequence
from typing import Final

from bench.experiments.base import Column

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


def latex_table(
    name: str, caption: str, columns: Sequence[Column], rows: Sequence[Sequence[str]], numeric: Sequence[bool]
) -> str:
    """A ``table`` with caption and label ``tab:<name>``; columns where ``numeric`` is true are set to the right.

    Units stand on a line of their own, which keeps columns narrow.
    """
    units = [f"[{column.unit}]" if column.unit else "" for column in columns]
    lines = [
        r"% Needs \usepackage{booktabs}.",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape_latex(caption)}}}",
        rf"\label{{tab:{name}}}",
        rf"\begin{{tabular}}{{{''.join('r' if right else 'l' for right in numeric)}}}",
        r"\toprule",
        _latex_row([column.title for column in columns]),
        *([_latex_row(units)] if any(units) else []),
        r"\midrule",
        *[_latex_row(row) for row in rows],
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


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
