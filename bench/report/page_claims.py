"""The claims on the page: a line each, which opens to what was said and found, how sure, why, and how to see it.

Filters are a script's; without one all claims stand in their order, and each line opens by itself.
"""

import re
from collections.abc import Collection, Sequence
from html import escape
from typing import Final

from bench.analysis.claims import VERDICTS
from bench.analysis.evidence import Evidence
from bench.analysis.verdicts import Verdict, describe
from bench.report.certainty import describe_certainty
from bench.report.claims import count_verdicts, find_changed_rules, introduce
from bench.report.model import Report
from bench.report.rules import describe_decision

#: A sign for each verdict, so that none is told by its colour alone.
SIGNS: Final = dict(zip(VERDICTS, "✓◐○✗–·", strict=True))


def render_claims(report: Report) -> str:
    """The section; '' without verdicts."""
    verdicts = report.verdicts
    if not verdicts:
        return ""
    changed = find_changed_rules(report)
    heads = {True: "Rule, changed since the run began", False: "Rule, fixed when the run began"}
    items = "\n".join(
        _claim(item, report.frames, report.flagged, "Rule" if changed is None else heads[item.id in changed])
        for item in verdicts
    )
    return f"""<section id="claims"><h2>Claims and verdicts</h2>
<p>{escape(introduce(report))}</p>
<p><b>{len(verdicts)} claims:</b> {escape(count_verdicts(verdicts))}. Open a line for the evidence, the rule and the \
command.</p>
{_tools(verdicts)}
<div class="claims-list">
{items}
</div></section>"""


def render_strip(verdicts: Sequence[Verdict]) -> str:
    """All verdicts at a glance, each a link to its claim; '' without verdicts."""
    if not verdicts:
        return ""
    cells = "".join(
        f'<li><a class="verdict {_kind(item)}" href="#claim-{item.id}" title="{escape(_sum_up(item))}">{item.id} '
        f'<span aria-hidden="true">{SIGNS[item.verdict]}</span><span class="only-read"> {item.verdict}</span></a></li>'
        for item in verdicts
    )
    present = {item.verdict for item in verdicts}
    legend = " · ".join(f"{SIGNS[name]} {name}" for name in VERDICTS if name in present)
    return f'<ul class="strip" aria-label="Verdicts">{cells}</ul>\n<p class="legend">{legend}</p>'


def _sum_up(item: Verdict) -> str:
    return f"{item.claim.says} {item.verdict}"


def _kind(item: Verdict) -> str:
    return item.verdict.replace(" ", "-")


def _tools(verdicts: Sequence[Verdict]) -> str:
    names = dict.fromkeys(name for item in verdicts for name in item.claim.experiments)
    present = {item.verdict for item in verdicts}
    kinds = [(name.replace(" ", "-"), name) for name in VERDICTS if name in present]
    return f"""<div class="tools" role="search" aria-label="Filter the claims" hidden>
<label>Verdict <select>{_options("all", kinds)}</select></label>
<label>Experiment <select>{_options("all", [(name, name) for name in names])}</select></label>
<label>Text <input type="search" placeholder="words"></label>
<button type="button">Open all</button> <button type="button">Close all</button>
<span class="count" role="status"></span></div>"""


def _options(first: str, pairs: Sequence[tuple[str, str]]) -> str:
    return "".join(f'<option value="{escape(value)}">{escape(text)}</option>' for value, text in [("", first), *pairs])


def _claim(item: Verdict, tables: Collection[str], flagged: Collection[str], rule: str) -> str:
    claim = item.claim
    rows = [
        ("The paper says", f'{escape(claim.says)} <span class="unit">{escape(claim.place)}</span>'),
        ("Found", f'<b class="verdict {_kind(item)}">{item.verdict}</b> {escape(item.says)}'),
        ("How sure", escape(describe_certainty(item, flagged))),
        (rule, _rule(item)),
        ("Evidence", _evidence(item.evidence, tables)),
        ("Command", f"<code>{escape(item.command)}</code>" if item.command else "none"),
    ]
    listed = "".join(f"<dt>{label}</dt><dd>{text}</dd>\n" for label, text in rows if text)
    return f"""<details class="claim" id="claim-{item.id}" data-verdict="{_kind(item)}" \
data-experiments="{escape(" ".join(claim.experiments))}">
<summary><span class="id">{item.id}</span> <span class="says">{escape(claim.says)}</span> \
<span class="verdict {_kind(item)}">{item.verdict}</span></summary>
<dl>
{listed}</dl></details>"""


def _rule(item: Verdict) -> str:
    claim = item.claim
    if claim.untestable:
        return ""
    decisions = "".join(f"<li>{_mark_up(describe_decision(one))}</li>" for one in claim.decisions)
    return f"{_mark_up(claim.why)}<ol>{decisions}</ol>"


def _mark_up(text: str) -> str:
    """Bold and code of our own Markdown, everything else escaped."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", re.sub(r"\*\*([^*]+)\*\*", r"<b>\1</b>", escape(text)))


def _evidence(evidence: Sequence[Evidence], tables: Collection[str]) -> str:
    if not evidence:
        return ""
    rows = "".join(_evidence_row(one, tables) for one in evidence)
    head = "".join(f'<th scope="col">{text}</th>' for text in ("Test", "Number", "Where", "Came out"))
    return (
        '<div class="scroll prose" role="region" aria-label="Evidence" tabindex="0"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _evidence_row(one: Evidence, tables: Collection[str]) -> str:
    place = escape(f"{one.table}.{one.column}") if one.table else "the paper's own figures"
    if one.table in tables:
        place = f'<a href="#table-{escape(one.table)}">{place}</a>'
    return (
        f"<tr><td><code>{escape(one.test)}</code></td><td>{escape(one.what)}</td><td>{place}</td>"
        f'<td class="{one.outcome}">{escape(describe(one))}</td></tr>'
    )
