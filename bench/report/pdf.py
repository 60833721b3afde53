"""The report as a PDF, set by typst from `paper/*.typ`: no TeX, no network, no font of the machine.

The document reads the report's data and figures and nothing else, and cites facts by name; where one is missing, it is
not built.  Equal reports give equal bytes under one version of typst: the only instant in it is that of the run.
"""

import json
from datetime import datetime
from typing import Final, cast

from bench.errors import BenchError
from bench.report.article import describe_article, list_drawings
from bench.report.facts import find_paper, gather_facts
from bench.report.model import Report

#: The sources in the folder ``paper``; typst begins with the first, which goes by another name there.
SOURCES: Final = {"report.typ": "main.typ", "style.typ": "style.typ", "results.typ": "results.typ"}
_BIBLIOGRAPHY: Final = "references.bib"
#: Tagged, with a title and a text for each figure, so that it can be read aloud.
_STANDARD: Final = "ua-1"
_PANIC: Final = "panicked with: "


def render_pdf(report: Report) -> bytes:
    """The whole of ``report.pdf``, of a report with verdicts and figures.

    Raises `BenchError` naming the fact if the text cites one that the run does not have.
    """
    import typst

    data = json.dumps(describe_article(report, gather_facts(report)), ensure_ascii=False)
    files: dict[str, bytes] = {name: find_paper(source) for source, name in SOURCES.items()}
    files |= {_BIBLIOGRAPHY: find_paper(_BIBLIOGRAPHY), "report.json": data.encode(), **list_drawings(report)}
    manifest = report.manifest
    instant = datetime.fromisoformat(manifest.finished or manifest.started or "1970-01-01T00:00:00+00:00")
    given = cast("bytes", files)  # its types leave out that several files may be given by name
    try:
        return typst.compile(
            given, format="pdf", ignore_system_fonts=True, timestamp=instant, pdf_standards=[_STANDARD]
        )
    except typst.TypstError as error:
        if not error.message.startswith(_PANIC):
            raise
        raise BenchError(f"report.pdf: {error.message.removeprefix(_PANIC)}") from None
