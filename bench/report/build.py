"""From a run's files to its report: raw rows -> tables -> figures -> pages, with no need of the machine that ran.

A table whose rows are missing, because the run stopped or a case failed, is left out and named; where nothing is
missing, an error in building it is a bug and is raised.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from bench import experiments
from bench.analysis.claims import read_rules
from bench.errors import BenchError
from bench.experiments.base import Experiment, Figure, Row, Table
from bench.files import write_atomic
from bench.record import SCHEMA_VERSION
from bench.report.claims import FILE as CLAIMS_FILE
from bench.report.claims import judge_report, write_json
from bench.report.controls import find_contention, find_flags, find_noise, flag_table
from bench.report.defence import describe_defence
from bench.report.load import Manifest, Progress, read_manifest, read_rows, validate_record
from bench.report.markdown import render_markdown
from bench.report.model import BuiltTable, DrawnFigure, Report, Section, collect_failures
from bench.report.page import render_page
from bench.report.style import journal_style, save_figure
from bench.report.tables import check_columns, write_table

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")


def build_report(folder: Path, out: Callable[[str], None]) -> Path:
    """Write tables, figures, ``claims.json``, ``report.md`` and ``report.html`` of a run; path of the last.

    ``out`` is told, line by line, what a reader has to know.  Raises `BenchError` for a directory that is not a
    run's, for files that cannot be read and for files that cannot be written.
    """
    rules = read_rules()
    report = _Builder(folder, read_manifest(folder), is_writing=True).build()
    report = replace(report, verdicts=judge_report(report, rules))
    for notice in report.notices:
        out(notice)
    write_atomic(folder / CLAIMS_FILE, write_json(report, report.verdicts, rules))
    write_atomic(folder / "report.md", render_markdown(report))
    write_atomic(report.page, render_page(report))
    return report.page


def read_report(folder: Path) -> Report:
    """The report of the run in ``folder`` without its figures; writes nothing.  Raises `BenchError` as above."""
    return _Builder(folder, read_manifest(folder), is_writing=False).build()


class _Builder:
    """Builds the sections in order; numbers tables and figures through the report, collects notices."""

    def __init__(self, folder: Path, manifest: Manifest, *, is_writing: bool) -> None:
        self._folder = folder
        self._manifest = manifest
        self._is_writing = is_writing
        self._notices: list[str] = []
        self._names: set[str] = set()
        self._table_numbers = count(1)
        self._figure_numbers = count(1)

    def build(self) -> Report:
        validate_record(self._folder, self._manifest)
        self._notices += find_noise(self._manifest)
        sections = [self._build_section(name, progress) for name, progress in self._manifest.experiments.items()]
        present = tuple(section for section in sections if section is not None)
        return Report(self._folder, self._manifest, present, tuple(self._notices), describe_defence(present))

    def _build_section(self, name: str, progress: Progress) -> Section | None:
        experiment = experiments.find_experiment(name)
        rows = self._read_rows(name, progress)
        if not rows:
            self._notices.append(f"{name}: no row was recorded")
            return None
        failures = collect_failures(rows)
        if progress.not_begun:
            self._notices.append(
                f"{name}: {progress.not_begun} cases were not begun, for no time was left in the budget"
            )
        if failures:
            self._notices.append(f"{name}: {sum(f.count for f in failures)} of {len(rows)} rows are not ok")
        self._notices += [f"{name}: {line}" for line in find_contention(rows)]
        left_out: list[str] = []
        lacks = ["missing"] if failures or not self._manifest.is_complete else []
        lacks += ["of an older version"] if self._manifest.schema_version < SCHEMA_VERSION else []
        lack = f"rows are {' or '.join(lacks)}" if lacks else ""
        tables = self._build_tables(experiment, rows, left_out, lack)
        figures = self._draw_figures(experiment, tables, left_out, lack)
        answer = _attempt(partial(_answer, experiment, tables), "the answer", left_out, lack) or ()
        self._notices += [f"{name}: {line}" for line in left_out]
        return Section(experiment, progress, len(rows), failures, tables, figures, tuple(left_out), answer)

    def _read_rows(self, name: str, progress: Progress) -> list[Row]:
        path = self._folder / "raw" / f"{name}.jsonl"
        if not path.exists() and (progress.cases == 0 or not self._manifest.is_complete):
            return []
        found = read_rows(path, may_be_cut=not self._manifest.is_complete)
        if found.notice:
            self._notices.append(found.notice)
        return found.rows

    def _build_tables(
        self, experiment: Experiment, rows: Sequence[Row], left_out: list[str], lack: str
    ) -> tuple[BuiltTable, ...]:
        import pandas as pd

        good = pd.DataFrame([row for row in rows if row["status"] == "ok"])
        built = []
        for table in experiment.tables:
            self._claim_name(f"table {table.name}")
            frame = _attempt(partial(_build_table, table, good), f"table {table.name}", left_out, lack)
            if frame is None:
                continue
            shown = flag_table(table, frame)
            if flags := find_flags(shown):
                self._notices.append(f"{experiment.id}: table {table.name}: {flags}")
            if self._is_writing:
                write_table(shown, frame, self._folder / "tables")
            built.append(BuiltTable(next(self._table_numbers), shown, frame))
        return tuple(built)

    def _draw_figures(
        self, experiment: Experiment, tables: Sequence[BuiltTable], left_out: list[str], lack: str
    ) -> tuple[DrawnFigure, ...]:
        drawn = []
        for figure in experiment.figures if self._is_writing else ():
            self._claim_name(f"figure {figure.name}")
            draw = partial(_draw_figure, figure, tables, self._folder / "figures")
            files = _attempt(draw, f"figure {figure.name}", left_out, lack)
            if files is not None:
                drawn.append(DrawnFigure(next(self._figure_numbers), figure, *files))
        return tuple(drawn)

    def _claim_name(self, name: str) -> None:
        """Files are named after tables and figures, so two of one name would overwrite each other."""
        if name in self._names:
            raise ValueError(f"{name}: expected a name that no other one of the run has")
        self._names.add(name)


def _build_table(table: Table, good: "pd.DataFrame") -> "pd.DataFrame":
    frame = table.build(good.copy())
    check_columns(table, frame)
    return frame


def _answer(experiment: Experiment, tables: Sequence[BuiltTable]) -> tuple[str, ...]:
    frames = {built.table.name: built.frame.copy() for built in tables}
    return () if experiment.answer is None else tuple(experiment.answer(frames))


def _draw_figure(figure: Figure, tables: Sequence[BuiltTable], folder: Path) -> tuple[bytes, bytes, float]:
    """Draw and save a figure; its SVG, its PNG and its width in inches."""
    frames = {built.table.name: built.frame.copy() for built in tables}
    with journal_style():
        made = figure.draw(frames)
    svg, png, _ = save_figure(made, folder, figure.name)
    return svg.read_bytes(), png.read_bytes(), float(made.get_figwidth())


def _attempt(make: Callable[[], T], what: str, left_out: list[str], lack: str) -> T | None:
    """What ``make`` returns; None, with a line in ``left_out``, if it fails and what it needs may ``lack``."""
    try:
        return make()
    except BenchError:
        raise
    except Exception as error:
        if not lack:
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        left_out.append(f"{what} is left out, for {lack} ({reason[:200]})")
        return None
