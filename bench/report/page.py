"""The report as one HTML file that needs no network: style, tables, figures, data and scripts are all inside it.

It is complete without scripts; they add sorting, filters, the switch of engines, other runs and charts that answer.  A
content security policy lets run what has the digests of our own scripts, and forbids whatever might slip through.
Vega-Embed with Vega and Vega-Lite comes out of vl-convert (`vega_terms.js` has its terms); it is in a page only if the
page has a chart.
"""

from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Final

from bench.report.engines import ENGINES, list_engines
from bench.report.model import Report
from bench.report.page_claims import render_claims
from bench.report.page_sections import (
    join,
    notices,
    render_abstract,
    render_environment,
    render_errata,
    render_experiment,
    render_method,
    render_overview,
    render_threats,
)
from bench.report.summary import FILES, HOW_TO_READ, banner_of, format_time

_POLICY: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def render_page(report: Report, beside: Sequence[Report] = ()) -> str:
    """The whole of ``report.html``, with the runs ``beside`` to switch to; equal reports give equal text."""
    views = [_view(one) for one in (report, *beside)]
    has_chart = any("<figure" in view and " data-chart>" in view for view in views)
    scripts = [*([_bundle_vega()] if has_chart else []), _read("page.js")]
    digests = " ".join(f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in scripts)
    others = join(
        f'<template class="run" data-run="{number}">{view}</template>' for number, view in enumerate(views[1:], start=1)
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}; script-src {digests}">
<title>Benchmark report: {escape(report.manifest.run_id)}</title>
<style>
{_read("page.css")}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
{_controls([report, *beside])}
<div id="run">{views[0]}</div>
{others}
{join(f"<script>{text}</script>" for text in scripts)}
</body>
</html>
"""


@cache
def _bundle_vega() -> str:
    """Vega-Embed with all that it needs, behind its terms; within a function, for it declares hundreds of names."""
    import vl_convert

    bundle = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its stub knows no default
    return f"{_read('vega_terms.js')}(() => {{\n{bundle}\n}})();"


def _read(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _controls(reports: Sequence[Report]) -> str:
    """What a script shows and uses: the choice of a run, if there are several, and of an engine."""
    names = [f"{one.manifest.run_id} ({one.manifest.profile or 'no profile'})" for one in reports]
    options = "".join(f'<option value="{number}">{escape(name)}</option>' for number, name in enumerate(names))
    runs = f'<label>Run <select id="runs">{options}</select></label>\n' if len(reports) > 1 else ""
    engines = "".join(f'<option value="{name}">{title}</option>' for name, title in {"all": "all", **ENGINES}.items())
    return f"""<div id="controls" class="controls" hidden>
{runs}<label>Engine <select id="engine">{engines}</select></label>
</div>"""


def _view(report: Report) -> str:
    """One run: contents and everything that they lead to."""
    return f"""
{_contents(report)}
<main id="main" data-engines="{" ".join(list_engines(report))}">
{_header(report)}
{render_abstract(report)}
{render_claims(report)}
{render_method(report)}
{render_overview(report)}
{join(render_experiment(report, section, report.frames) for section in report.sections)}
{render_threats(report)}
{render_errata()}
<section id="reading"><h2>How to read it</h2>
<p>{escape(HOW_TO_READ)}</p>
<p>{escape(FILES)}</p>
</section>
{render_environment(report)}
</main>
"""


def _contents(report: Report) -> str:
    names = [section.experiment.id for section in report.sections]
    links = [
        ("abstract", "Abstract"),
        *([("claims", "Claims and verdicts")] if report.verdicts else []),
        ("method", "Method in short"),
        ("overview", "Overview"),
        *((f"experiment-{name}", name) for name in names),
        ("threats", "Threats to validity"),
        ("errata", "Errata of the paper"),
        ("reading", "How to read it"),
        ("environment", "Machine and environment"),
    ]
    items = join(
        f'<li class="{"inner" if target.startswith("experiment-") else "outer"}">'
        f'<a href="#{escape(target)}">{escape(text)}</a></li>'
        for target, text in links
    )
    return f'<nav aria-label="Contents"><ul>\n{items}\n</ul></nav>'


def _header(report: Report) -> str:
    manifest = report.manifest
    banner = banner_of(manifest)
    facts = [
        ("profile", manifest.profile),
        ("seed", str(manifest.seed)),
        ("started", format_time(manifest.started)),
        ("record", (manifest.record_sha256 or "")[:16]),
    ]
    shown = " · ".join(f"{label} <b>{escape(text)}</b>" for label, text in facts if text)
    return join(
        [
            f'<header><p class="kind">Benchmark report</p><h1>{escape(manifest.run_id)}</h1>',
            f'<p class="facts">{shown}</p></header>',
            f'<p class="banner" role="status"><b>Not complete.</b> {escape(banner)}</p>' if banner else "",
            notices(report.notices),
        ]
    )
