"""The report as data that `paper/*.typ` set in print: texts, formatted cells and facts, no markup.

Whatever the PDF prints of a run is in it, so that nothing is computed, or typed, where it is set.
"""

from collections.abc import Collection
from typing import Any, Final

from bench.analysis.claims import UNTESTED
from bench.analysis.verdicts import Verdict, describe
from bench.report.abstract import PAPER, write_abstract
from bench.report.certainty import describe_certainty
from bench.report.claims import count_verdicts, introduce, list_untested
from bench.report.controls import find_flags
from bench.report.errata import HEADINGS, list_errata
from bench.report.errata import INTRODUCTION as ERRATA_INTRODUCTION
from bench.report.facts import Facts, as_json
from bench.report.layout import CAPACITY, main_columns, print_columns
from bench.report.method import describe_method
from bench.report.model import BuiltTable, DrawnFigure, Report, Section
from bench.report.summary import FILES, HOW_TO_READ, banner_of, describe_environment, format_duration, format_time
from bench.report.threats import list_threats

#: A larger drawing is set as PNG.
SVG_LIMIT_BYTES: Final = 1_500_000


def describe_article(report: Report, facts: Facts) -> dict[str, Any]:
    """Everything that is printed of a report with its verdicts; JSON values only, equal for equal reports."""
    manifest = report.manifest
    return {
        "run": {
            "id": manifest.run_id,
            "profile": manifest.profile,
            "finished": format_time(manifest.finished or manifest.started),
            "record": manifest.record_sha256 or "",
            "commit": manifest.git.get("commit") or "",
            "seed": str(manifest.seed),
        },
        "banner": banner_of(manifest),
        "notices": list(report.notices),
        "paper": PAPER,
        "abstract": list(write_abstract(report)),
        "method": describe_method(report),
        "reading": [HOW_TO_READ, FILES],
        "sections": [_describe_section(section, is_complete=manifest.is_complete) for section in report.sections],
        "defence": list(report.defence),
        "claims": [_describe_claim(verdict, report.flagged) for verdict in report.verdicts],
        "claims_said": [introduce(report), count_verdicts(report.verdicts), list_untested(report.verdicts)],
        "threats": list_threats(report),
        "errata": {"said": ERRATA_INTRODUCTION, "headings": HEADINGS, "rows": list_errata()},
        "environment": describe_environment(manifest),
        "facts": as_json(facts),
        "missing": facts.missing,
        "capacity": {str(size_pt): width for size_pt, width in CAPACITY.items()},
    }


def list_drawings(report: Report) -> dict[str, bytes]:
    """The figures as files by the paths that `describe_article` gives them."""
    return {_place(drawn): drawn.svg if _is_vector(drawn) else drawn.png for drawn in report.figures}


def _describe_section(section: Section, *, is_complete: bool) -> dict[str, Any]:
    experiment = section.experiment
    return {
        "id": experiment.id,
        "question": experiment.question,
        "claims": experiment.claims,
        "rows": f"{section.rows:,}",
        "failed": f"{section.failed:,}",
        "time": format_duration(section.progress.seconds),
        # Where nothing is missing, a fact that cannot be found is a bug of the text that cites it.
        "is_whole": is_complete and not (section.failures or section.left_out or section.progress.not_begun),
        "answer": section.answer,
        "left_out": section.left_out,
        "failures": [f"{count:,} {status}" for status, count in sorted(section.lost.items())],
        "tables": [_describe_table(built) for built in section.tables],
        "figures": [
            {
                "name": drawn.figure.name,
                "caption": drawn.figure.caption,
                "path": _place(drawn),
                "inches": drawn.width_in,
            }
            for drawn in section.figures
        ],
    }


def _describe_table(built: BuiltTable) -> dict[str, Any]:
    table, flags = built.table, find_flags(built.table)
    columns = print_columns(table, built.frame)
    return {
        "name": table.name,
        "caption": table.caption.removesuffix(flags).strip(),
        "flags": flags,
        "count": len(built.frame),
        "is_main": bool(table.highlights),
        "highlights": [column.name for column in main_columns(table, columns)],
        "columns": {
            column.name: {
                "head": column.head,
                "cells": column.cells,
                "is_number": column.is_number,
                "width": column.width,
            }
            for column in (columns if table.highlights else ())
        },
    }


def _describe_claim(verdict: Verdict, flagged: Collection[str]) -> dict[str, Any]:
    claim = verdict.claim
    return {
        "id": verdict.id,
        "claim": claim.says,
        "place": claim.place,
        "verdict": verdict.verdict,
        "finding": verdict.says,
        "evidence": [f"{item.what}: {describe(item)}" for item in verdict.evidence if verdict.verdict != UNTESTED],
        "certainty": describe_certainty(verdict, flagged) if verdict.evidence and verdict.verdict != UNTESTED else "",
        "command": verdict.command,
    }


def _is_vector(drawn: DrawnFigure) -> bool:
    return len(drawn.svg) <= SVG_LIMIT_BYTES


def _place(drawn: DrawnFigure) -> str:
    return f"figures/{drawn.figure.name}.{'svg' if _is_vector(drawn) else 'png'}"
