"""The report as Markdown: the same content as the page, for reading where the run's directory is browsed."""

from collections.abc import Iterator, Sequence
from typing import Final

from bench.report.abstract import write_abstract
from bench.report.claims import markdown_blocks
from bench.report.errata import list_errata
from bench.report.method import describe_method
from bench.report.model import Report, Section
from bench.report.summary import FILES, HOW_TO_READ, banner_of, describe_details, describe_environment, format_duration
from bench.report.tables import escape_markdown, markdown_table, pipe_table
from bench.report.threats import list_threats

#: Longer tables are cut here in what people read; the CSV holds all rows.
ROW_LIMIT: Final = 200


def render_markdown(report: Report) -> str:
    """The whole of ``report.md``; equal reports give equal text."""
    return "\n\n".join(_blocks(report)) + "\n"


def _blocks(report: Report) -> Iterator[str]:
    manifest = report.manifest
    yield f"# Benchmark report: {escape_markdown(manifest.run_id)}"
    if banner := banner_of(manifest):
        yield f"> **{banner}**"
    if report.notices:
        yield _list(report.notices)
    yield "## Abstract"
    yield from map(escape_markdown, write_abstract(report))
    yield "## Method in short"
    yield _list([f"{title}: {' '.join(sentences)}" for title, sentences in describe_method(report)])
    yield "## Experiments"
    yield _pipe_table(("Experiment", "Question", "Rows", "Not ok", "Time"), [_overview_row(s) for s in report.sections])
    if report.defence:
        yield "## Attacks on the strongest variant"
        yield _list(report.defence)
    yield from markdown_blocks(report)
    for section in report.sections:
        yield from _section_blocks(section)
    yield "## Threats to validity"
    for title, sentences in list_threats(report):
        yield f"### {title}"
        yield _list(sentences)
    yield "## Errata of the paper"
    yield f"{len(list_errata())} of them, in paper/errata.md and, with both sides computed, by `ehrbench errata`."
    yield "## How to read it"
    yield HOW_TO_READ
    yield FILES
    yield "## Environment"
    for title, pairs in describe_environment(manifest) + describe_details(manifest):
        yield f"### {title}"
        yield _pipe_table(("", ""), pairs)


def _overview_row(section: Section) -> tuple[str, ...]:
    experiment = section.experiment
    duration = format_duration(section.progress.seconds)
    return experiment.id, experiment.question, str(section.rows), str(section.failed), duration


def _section_blocks(section: Section) -> Iterator[str]:
    experiment = section.experiment
    yield f"## {escape_markdown(experiment.id)}"
    yield f"**{escape_markdown(experiment.question)}**"
    if section.answer:
        yield _list(section.answer)
    if experiment.claims:
        yield f"Claims: {', '.join(experiment.claims)}"
    for built in section.tables:
        table = built.table
        yield f"**Table {built.number}.** {escape_markdown(table.caption)} ([CSV](tables/{table.name}.csv))"
        yield markdown_table(table, built.frame, ROW_LIMIT)
        if len(built.frame) > ROW_LIMIT:
            yield f"The first {ROW_LIMIT} of {len(built.frame)} rows."
    for drawn in section.figures:
        caption = escape_markdown(drawn.figure.caption)
        yield f"![Figure {drawn.number}](figures/{drawn.figure.name}.svg)"
        yield f"**Figure {drawn.number}.** {caption}"
    if section.failures:
        yield f"**Rows that are not ok** ({section.failed} of {section.rows})"
        rows = [(f.case, f.status, f.reason, str(f.count)) for f in section.failures[:ROW_LIMIT]]
        yield _pipe_table(("Case", "Status", "Reason", "Rows"), rows)
    if section.left_out:
        yield _list(section.left_out)


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {escape_markdown(line)}" for line in lines)


def _pipe_table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    return pipe_table(headings, [[escape_markdown(cell) for cell in row] for row in rows])
