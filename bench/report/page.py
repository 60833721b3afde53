"""The report as one HTML file that needs no network: style, tables, figures and CSV downloads are all inside it.

Everything that comes from a run is escaped; a content security policy forbids whatever might slip through.
Figures are embedded as images, so that ids of one drawing cannot meet those of another.
"""

from base64 import b64encode
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Final

from bench.report.claims import html_section
from bench.report.controls import find_flags
from bench.report.markdown import ROW_LIMIT
from bench.report.model import BuiltTable, DrawnFigure, Failure, Report, Section
from bench.report.summary import (
    FILES,
    HOW_TO_READ,
    Group,
    banner_of,
    describe_details,
    describe_environment,
    format_duration,
    format_time,
)
from bench.report.tables import html_table

#: A larger drawing (a scatter of many points) is embedded as PNG.
SVG_LIMIT_BYTES: Final = 1_000_000
#: CSS pixels that an inch of print takes on the screen, where readers sit further away.
_PIXELS_PER_INCH: Final = 132
_LONG_TEXT: Final = 160
_POLICY: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def render_page(report: Report) -> str:
    """The whole of ``report.html``; equal reports give equal text."""
    title = f"Benchmark report: {escape(report.manifest.run_id)}"
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
{_contents(report)}
<main id="main">
{_header(report)}
{_overview(report)}
{_defence(report.defence)}
{html_section(report.verdicts)}
{_join(_section(section) for section in report.sections)}
<section id="reading"><h2>How to read it</h2>
<p>{escape(HOW_TO_READ)}</p>
<p>{escape(FILES)}</p>
</section>
{_environment(report)}
</main>
</body>
</html>
"""


def _join(parts: Iterable[str]) -> str:
    return "\n".join(part for part in parts if part)


def _contents(report: Report) -> str:
    names = [section.experiment.id for section in report.sections]
    links = [(f"experiment-{name}", name) for name in names]
    claims = [("claims", "Claims and verdicts")] if report.verdicts else []
    links = [("overview", "Overview"), *claims, *links, ("reading", "How to read it"), ("environment", "Environment")]
    items = _join(f'<li><a href="#{escape(target)}">{escape(text)}</a></li>' for target, text in links)
    return f'<nav aria-label="Contents"><ul>\n{items}\n</ul></nav>'


def _header(report: Report) -> str:
    manifest = report.manifest
    banner = banner_of(manifest)
    facts = [("profile", manifest.profile), ("seed", str(manifest.seed)), ("started", format_time(manifest.started))]
    shown = " · ".join(f"{label} <b>{escape(text)}</b>" for label, text in facts if text)
    return _join(
        [
            f'<header><p class="kind">Benchmark report</p><h1>{escape(manifest.run_id)}</h1>',
            f'<p class="facts">{shown}</p></header>',
            f'<p class="banner" role="status"><b>Not complete.</b> {escape(banner)}</p>' if banner else "",
            _notices(report.notices),
        ]
    )


def _notices(lines: tuple[str, ...]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<ul class="notices">{items}</ul>' if lines else ""


def _overview(report: Report) -> str:
    headings = (("Experiment", ""), ("Question", ""), ("Rows", "num"), ("Not ok", "num"), ("Time", "num"))
    head = "".join(f'<th scope="col" class="{kind}">{text}</th>' for text, kind in headings)
    rows = _join(_overview_row(section) for section in report.sections)
    table = f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"
    return f'<section id="overview"><h2>Overview</h2>\n{_scroll(table, "Experiments", "prose")}\n</section>'


def _defence(lines: tuple[str, ...]) -> str:
    if not lines:
        return ""
    return f'<section id="defence"><h2>Attacks on the strongest variant</h2>\n{_answer(lines)}\n</section>'


def _overview_row(section: Section) -> str:
    name = escape(section.experiment.id)
    return (
        f'<tr><td><a href="#experiment-{name}">{name}</a></td><td>{escape(section.experiment.question)}</td>'
        f'<td class="num">{section.rows}</td><td class="num">{section.failed}</td>'
        f'<td class="num">{format_duration(section.progress.seconds)}</td></tr>'
    )


def _section(section: Section) -> str:
    experiment = section.experiment
    claims = "".join(f"<li>{escape(claim)}</li>" for claim in experiment.claims)
    return _join(
        [
            f'<section id="experiment-{escape(experiment.id)}"><h2>{escape(experiment.id)}</h2>',
            f'<p class="question">{escape(experiment.question)}</p>',
            _answer(section.answer),
            f'<ul class="claims" aria-label="Claims of the paper that it bears on">{claims}</ul>' if claims else "",
            _notices(section.left_out),
            *[_table(built) for built in section.tables],
            *[_figure(drawn) for drawn in section.figures],
            _failures(section),
            "</section>",
        ]
    )


def _answer(lines: tuple[str, ...]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<ul class="answer" aria-label="Answer, from the tables below">{items}</ul>' if lines else ""


def _table(built: BuiltTable) -> str:
    table, frame = built.table, built.frame
    flags = find_flags(table)
    flagged = f'<strong class="flag">{escape(flags)}</strong>' if flags else ""
    caption = escape(table.caption.removesuffix(flags)) + flagged
    data = b64encode(frame.to_csv(index=False, lineterminator="\n").encode()).decode()
    name = escape(table.name)
    rest = f" The first {ROW_LIMIT} of {len(frame)} rows." if len(frame) > ROW_LIMIT else ""
    empty = " No row." if frame.empty else ""
    return f"""<figure class="table" id="table-{name}">
<figcaption><b>Table {built.number}.</b> {caption}{rest}{empty}
<a class="download" download="{name}.csv" href="data:text/csv;charset=utf-8;base64,{data}">CSV</a></figcaption>
{_scroll(html_table(table, frame, ROW_LIMIT), table.name)}
</figure>"""


def _figure(drawn: DrawnFigure) -> str:
    kind, data = ("svg+xml", drawn.svg) if len(drawn.svg) <= SVG_LIMIT_BYTES else ("png", drawn.png)
    name, caption = escape(drawn.figure.name), escape(drawn.figure.caption)
    width = round(drawn.width_in * _PIXELS_PER_INCH)
    size = "wide" if drawn.width_in > 5 else "narrow"
    source = f"data:image/{kind};base64,{b64encode(data).decode()}"
    return f"""<figure class="drawing" id="figure-{name}">
<div class="card" tabindex="0"><img class="{size}" width="{width}" alt="{caption}" src="{source}"></div>
<figcaption><b>Figure {drawn.number}.</b> {caption}</figcaption>
</figure>"""


def _failures(section: Section) -> str:
    if not section.failures:
        return ""
    head = "".join(f'<th scope="col">{text}</th>' for text in ("Case", "Status", "Reason", "Rows"))
    rows = _join(_failure_row(failure) for failure in section.failures[:ROW_LIMIT])
    table = f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>"
    return f"<h3>Rows that are not ok: {section.failed} of {section.rows}</h3>\n{_scroll(table, 'Failures', 'prose')}"


def _failure_row(failure: Failure) -> str:
    texts = (failure.case, failure.status, failure.reason, str(failure.count))
    return "<tr>" + "".join(f"<td>{escape(text)}</td>" for text in texts) + "</tr>"


def _scroll(table: str, label: str, kind: str = "") -> str:
    """A container that scrolls on its own, by keyboard too, so that a wide table never widens the page."""
    return f'<div class="scroll {kind}" role="region" aria-label="{escape(label)}" tabindex="0">\n{table}\n</div>'


def _environment(report: Report) -> str:
    groups = _join(_group(group) for group in describe_environment(report.manifest))
    details = _join(_group(group, is_folded=True) for group in describe_details(report.manifest))
    listed = f'<div class="groups">\n{groups}\n</div>\n{details}'
    return f'<section id="environment"><h2>Environment</h2>\n{listed}\n</section>'


def _group(group: Group, *, is_folded: bool = False) -> str:
    title, pairs = group
    items = _join(_pair(label, text) for label, text in pairs)
    listed = f"<dl>\n{items}\n</dl>"
    if is_folded:
        return f"<details><summary>{escape(title)}</summary>\n{listed}\n</details>"
    return f"<div><h3>{escape(title)}</h3>\n{listed}</div>"


def _pair(label: str, text: str) -> str:
    if len(text) > _LONG_TEXT:
        start = escape(text[: _LONG_TEXT // 2].rsplit(" ", 1)[0])
        return f"<dt>{escape(label)}</dt><dd><details><summary>{start} …</summary>{escape(text)}</details></dd>"
    return f"<dt>{escape(label)}</dt><dd>{escape(text)}</dd>"
