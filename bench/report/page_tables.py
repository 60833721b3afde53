"""A table on the page: its first rows as they stand, the others as data that a script can show, and all as CSV."""

import json
from collections.abc import Sequence
from html import escape
from typing import Any, Final
from urllib.parse import quote

from bench.report.controls import find_flags
from bench.report.engines import column_engines, only_engine, row_engines
from bench.report.markdown import ROW_LIMIT
from bench.report.model import BuiltTable, Report
from bench.report.tables import format_rows, html_table

#: What an address within double quotes may hold as it is.
_SAFE: Final = " !$'*+,-./:;=?@[]^_{|}~"


def render_table(report: Report, built: BuiltTable) -> str:
    """The figure of one table; without scripts a long one shows its first rows and offers the CSV of all."""
    table, frame = built.table, built.frame
    flags = find_flags(table)
    flagged = f'<strong class="flag">{escape(flags)}</strong>' if flags else ""
    caption = escape(table.caption.removesuffix(flags)) + flagged
    source = data_url("text/csv;charset=utf-8", frame.to_csv(index=False, lineterminator="\n").encode())
    name = escape(table.name)
    more = f" The first {ROW_LIMIT} of {len(frame)} rows." if len(frame) > ROW_LIMIT else ""
    empty = " No row." if frame.empty else ""
    marks = f'data-name="{name}" data-total="{len(frame)}"{_mark(report, built)}'
    return f"""<figure class="table" id="table-{name}" {marks}>
<figcaption><b>Table {built.number}.</b> {caption}{more}{empty}
<a class="download" download="{name}.csv" href="{source}">CSV</a></figcaption>
{scroll(html_table(table, frame, ROW_LIMIT, column_engines(built)), table.name)}{_rest(built)}
</figure>"""


def scroll(table: str, label: str, kind: str = "") -> str:
    """A container that scrolls on its own, by keyboard too, so that a wide table never widens the page."""
    return f'<div class="scroll {kind}" role="region" aria-label="{escape(label)}" tabindex="0">\n{table}\n</div>'


def data_url(media: str, text: bytes) -> str:
    """A text as an address that holds it; shorter than in base64."""
    return f"data:{media},{quote(text, safe=_SAFE)}"


def fold(columns: Sequence[Sequence[Any]]) -> list[Any]:
    """Columns as the page's script unfolds them: one of few values as these and the place of each cell's among them."""
    folded: list[Any] = []
    for column in columns:
        places = {value: place for place, value in enumerate(dict.fromkeys(column))}
        is_few = 4 * len(places) <= len(column)
        folded.append({"of": list(places), "at": [places[value] for value in column]} if is_few else list(column))
    return folded


def embed(value: Any, kind: str) -> str:
    """JSON that no reader of HTML takes for markup, for a script to find by the class ``kind``."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return f'<script type="application/json" class="{kind}">{text}</script>'


def _rest(built: BuiltTable) -> str:
    rows = format_rows(built.table, built.frame)[ROW_LIMIT:]
    return "\n" + embed(fold(list(zip(*rows, strict=True))), "rest") if rows else ""


def _mark(report: Report, built: BuiltTable) -> str:
    """Attributes by which the switch of engines finds rows, and tables that are of one engine as a whole."""
    marks = ""
    if rows := row_engines(built):
        rule = {"column": list(built.table.columns).index(rows[0]), "engines": dict(rows[1])}
        marks += f' data-rows="{escape(json.dumps(rule))}"'
    if engine := only_engine(report, built.table.name):
        marks += f' data-only="{engine}"'
    return marks
