"""The sections of the page: what a paper says, then the experiments one by one, then the machine.

Everything that comes from a run is escaped.  Figures are embedded as images, so that ids of one drawing cannot meet
those of another.
"""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Final

from bench.report.abstract import PAPER, write_abstract
from bench.report.chart_captions import CAPTIONS
from bench.report.chart_parts import Frames, Spec
from bench.report.charts import CHARTS
from bench.report.errata import HEADINGS, INTRODUCTION, list_errata
from bench.report.markdown import ROW_LIMIT
from bench.report.method import Part, describe_method
from bench.report.model import DrawnFigure, Report, Section
from bench.report.page_claims import render_strip
from bench.report.page_tables import data_url, embed, fold, render_table, scroll
from bench.report.summary import Group, describe_details, describe_environment, format_duration
from bench.report.tables import frame_html
from bench.report.threats import list_threats

#: A larger drawing (a scatter of many points) is embedded as PNG.
SVG_LIMIT_BYTES: Final = 1_000_000
#: CSS pixels that an inch of print takes on the screen, where readers sit further away.
_PIXELS_PER_INCH: Final = 132
_LONG_TEXT: Final = 160


def join(parts: Iterable[str]) -> str:
    """The parts that are not empty, a line each."""
    return "\n".join(part for part in parts if part)


def render_abstract(report: Report) -> str:
    """What was asked, what was found, and all verdicts at a glance."""
    paragraphs = join(f"<p>{escape(text)}</p>" for text in write_abstract(report))
    cited = f'<p class="legend">The paper: {escape(PAPER)}</p>'
    return _section("abstract", "Abstract", join([paragraphs, render_strip(report.verdicts), cited]))


def render_overview(report: Report) -> str:
    """The experiments with their questions, and what attacks on everything at once came to."""
    headings = (("Experiment", ""), ("Question", ""), ("Rows", "num"), ("Not ok", "num"), ("Time", "num"))
    head = "".join(f'<th scope="col" class="{kind}">{text}</th>' for text, kind in headings)
    table = frame_html(head, map(_overview_row, report.sections))
    overview = _section("overview", "Overview", scroll(table, "Experiments", "prose"))
    defence = _section("defence", "Attacks on the strongest variant", _answer(report.defence)) if report.defence else ""
    return join([overview, defence])


def render_method(report: Report) -> str:
    """The method in short."""
    parts = [(escape(title), escape(" ".join(sentences))) for title, sentences in describe_method(report)]
    boxes = join(f"<div><h3>{title}</h3><p>{text}</p></div>" for title, text in parts)
    return _section("method", "Method in short", f'<div class="groups">\n{boxes}\n</div>')


def render_threats(report: Report) -> str:
    """Threats to validity, class by class."""
    return _section("threats", "Threats to validity", join(_part(part) for part in list_threats(report)))


def render_errata() -> str:
    """All errata in a table."""
    rows = list_errata()
    table = _text_table(HEADINGS, rows)
    opened = f'<figure class="table" data-name="errata" data-total="{len(rows)}">'
    caption = f"<figcaption>{escape(INTRODUCTION)}</figcaption>"
    held = join([opened, caption, scroll(table, "Errata", "prose"), "</figure>"])
    return _section("errata", "Errata of the paper", held)


def render_experiment(report: Report, section: Section, frames: Frames) -> str:
    """One experiment: question, answer, tables, figures, rows that are not ok."""
    experiment = section.experiment
    has_claim = {item.id for item in report.verdicts}
    claims = "".join(f"<li>{_link_claim(claim) if claim in has_claim else claim}</li>" for claim in experiment.claims)
    return join(
        [
            f'<section id="experiment-{escape(experiment.id)}"><h2>{escape(experiment.id)}</h2>',
            f'<p class="question">{escape(experiment.question)}</p>',
            _answer(section.answer),
            f'<ul class="claims" aria-label="Claims of the paper that it bears on">{claims}</ul>' if claims else "",
            notices(section.left_out),
            *[render_table(report, built) for built in section.tables],
            *[_figure(drawn, frames) for drawn in section.figures],
            _failures(section),
            "</section>",
        ]
    )


def render_environment(report: Report) -> str:
    """The machine, the versions, the workload, and every value of the scenario."""
    groups = join(_group(group) for group in describe_environment(report.manifest))
    details = join(_group(group, is_folded=True) for group in describe_details(report.manifest))
    return _section("environment", "Machine and environment", f'<div class="groups">\n{groups}\n</div>\n{details}')


def notices(lines: Sequence[str]) -> str:
    """What a reader has to know, line by line."""
    return _list('class="notices"', lines)


def _section(name: str, title: str, content: str) -> str:
    return f'<section id="{name}"><h2>{escape(title)}</h2>\n{content}\n</section>'


def _part(part: Part) -> str:
    title, sentences = part
    listed = _list('class="answer"', sentences)
    return f"<h3>{escape(title)}</h3>\n{listed}"


def _overview_row(section: Section) -> str:
    name = escape(section.experiment.id)
    return (
        f'<tr><td><a href="#experiment-{name}">{name}</a></td><td>{escape(section.experiment.question)}</td>'
        f'<td class="num">{section.rows}</td><td class="num">{section.failed}</td>'
        f'<td class="num">{format_duration(section.progress.seconds)}</td></tr>'
    )


def _link_claim(claim: str) -> str:
    return f'<a href="#claim-{claim}">{claim}</a>'


def _answer(lines: Sequence[str]) -> str:
    return _list('class="answer" aria-label="Answer, from the tables below"', lines)


def _list(marks: str, lines: Sequence[str]) -> str:
    """The lines as a list with these attributes; '' without a line."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<ul {marks}>{items}</ul>" if lines else ""


def _figure(drawn: DrawnFigure, frames: Frames) -> str:
    is_small = len(drawn.svg) <= SVG_LIMIT_BYTES
    png = "" if is_small else f"data:image/png;base64,{b64encode(drawn.png).decode()}"
    source = png or data_url("image/svg+xml", drawn.svg)
    name, caption = escape(drawn.figure.name), escape(drawn.figure.caption)
    width = round(drawn.width_in * _PIXELS_PER_INCH)
    size = "wide" if drawn.width_in > 5 else "narrow"
    spec = CHARTS[drawn.figure.name](frames) if drawn.figure.name in CHARTS else None
    chart, mark, shown = "", "", caption
    if spec:
        chart, mark = f"\n{embed(_fold(spec), 'spec')}", " data-chart"
        live = escape(CAPTIONS[drawn.figure.name])
        shown = f'<span class="of-print">{caption}</span><span class="of-chart">{live}</span>'
    return f"""<figure class="drawing" id="figure-{name}"{mark}>
<div class="card" tabindex="0"><img class="{size}" width="{width}" alt="{caption}" src="{source}"></div>
<figcaption><b>Figure {drawn.number}.</b> {shown}</figcaption>{chart}
</figure>"""


def _fold(spec: Spec) -> Spec:
    """The chart with its records by columns, which names each column once."""
    records: list[Mapping[str, object]] = spec["data"]["values"]
    names = list(dict.fromkeys(name for record in records for name in record))
    columns = [[record.get(name) for record in records] for name in names]
    return {**spec, "data": {"names": names, "columns": fold(columns)}}


def _failures(section: Section) -> str:
    if not section.failures:
        return ""
    rows = [(item.case, item.status, item.reason, str(item.count)) for item in section.failures[:ROW_LIMIT]]
    table = _text_table(("Case", "Status", "Reason", "Rows"), rows)
    return f"<h3>Rows that are not ok: {section.failed} of {section.rows}</h3>\n{scroll(table, 'Failures', 'prose')}"


def _text_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in headings)
    return frame_html(head, ("<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>" for row in rows))


def _group(group: Group, *, is_folded: bool = False) -> str:
    title, pairs = group
    items = join(_pair(label, text) for label, text in pairs)
    listed = f"<dl>\n{items}\n</dl>"
    if is_folded:
        return f"<details><summary>{escape(title)}</summary>\n{listed}\n</details>"
    return f"<div><h3>{escape(title)}</h3>\n{listed}</div>"


def _pair(label: str, text: str) -> str:
    if len(text) > _LONG_TEXT:
        start = escape(text[: _LONG_TEXT // 2].rsplit(" ", 1)[0])
        return f"<dt>{escape(label)}</dt><dd><details><summary>{start} …</summary>{escape(text)}</details></dd>"
    return f"<dt>{escape(label)}</dt><dd>{escape(text)}</dd>"
