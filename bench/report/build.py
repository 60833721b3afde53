"""From a run's files to its report: raw rows -> tables -> figures -> pages, with no need of the machine that ran.

A table whose rows are missing, because the run stopped or a case failed, is left out and named; where nothing is
missing, an error in building it is a bug and is raised.  The same rows give the same bytes, wherever and whenever.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from bench import experiments
from bench.analysis.claims import Rules, read_rules
from bench.errors import BenchError
from bench.experiments.base import Experiment, Figure, Row, Table
from bench.extensions import require_extensions
from bench.files import write_atomic
from bench.record import SCHEMA_VERSION
from bench.report.claims import FILE as CLAIMS_FILE
from bench.report.claims import judge_report, write_json
from bench.report.controls import find_contention, find_flags, find_noise, flag_table
from bench.report.defence import describe_defence
from bench.report.facts import FILE as FACTS_FILE
from bench.report.facts import gather_facts, write_facts
from bench.report.latex import latex_document
from bench.report.load import Manifest, Progress, read_derived, read_manifest, read_rows, validate_record
from bench.report.markdown import render_markdown
from bench.report.model import BuiltTable, DrawnFigure, Report, Section, collect_failures
from bench.report.page import render_page
from bench.report.pdf import render_pdf
from bench.report.schema import FILE as SCHEMA_FILE
from bench.report.schema import write_package
from bench.report.style import PNG_DPI, journal_style, render_figure, save_files
from bench.report.tables import check_columns, write_table

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")


#: Significant digits of every fraction in a table: the last bits of a sum, in which the vector units of processors
#: differ, reach no file.
DIGITS: Final = 9
#: Written by `render_pdf` on request, and kept up to date from then on.
PDF_FILE: Final = "report.pdf"


def build_report(folder: Path, out: Callable[[str], None], beside: Sequence[Path] = ()) -> Path:
    """Write tables, figures, ``claims.json``, ``facts.json``, ``report.md`` and ``report.html``; path of the last.

    A ``report.pdf`` that the run has, or had, is written anew.  ``out`` is told, line by line, what a reader has to
    know.  The page can switch to the runs ``beside``, with the figures that their own reports have written; only then
    does it depend on more than its run.  Raises `BenchError` for a directory that is not a run's and for files that
    cannot be read or written.
    """
    rules = read_rules()
    others = [_read_beside(other, folder, rules) for other in beside]
    report = _Builder(folder, read_manifest(folder), "write").build()
    report = replace(report, verdicts=judge_report(report, rules))
    for notice in report.notices:
        out(notice)
    if report.tables:
        write_atomic(folder / SCHEMA_FILE, write_package(report))
    write_atomic(folder / CLAIMS_FILE, write_json(report, report.verdicts, rules))
    write_atomic(folder / FACTS_FILE, write_facts(report, gather_facts(report)))
    if report.tables:
        figures = [(drawn.figure.name, drawn.figure.caption) for drawn in report.figures]
        title = f"Tables and figures of the run {report.manifest.run_id}"
        document = latex_document(title, [built.table.name for built in report.tables], figures)
        write_atomic(folder / "tables" / "all.tex", document)
    write_atomic(folder / "report.md", render_markdown(report))
    write_atomic(report.page, render_page(report, others))
    if (folder / PDF_FILE).exists() or PDF_FILE in report.manifest.files:
        write_atomic(folder / PDF_FILE, render_pdf(report))
    return report.page


def read_report(folder: Path, *, has_figures: bool = False) -> Report:
    """The report of the run in ``folder``; writes nothing.  Figures are read, not drawn, if they are asked for at all.

    Raises `BenchError` as above, and for figures that are not those that its report has written.
    """
    return _Builder(folder, read_manifest(folder), "load" if has_figures else "read").build()


def _read_beside(folder: Path, first: Path, rules: Rules) -> Report:
    if folder.resolve() == first.resolve():
        raise BenchError(f"--beside: expected another run than {first}, found the same")
    try:
        report = read_report(folder, has_figures=True)
    except BenchError as error:
        raise BenchError(f"--beside: {error} (its own report comes first: ehrbench report {folder})") from None
    return replace(report, verdicts=judge_report(report, rules))


class _Builder:
    """Builds the sections in order; numbers tables and figures through the report, collects notices.

    Tables and figures are written, or figures are loaded, or only tables are read.
    """

    def __init__(self, folder: Path, manifest: Manifest, mode: Literal["write", "load", "read"]) -> None:
        self._folder = folder
        self._manifest = manifest
        self._mode = mode
        self._notices: list[str] = []
        self._names: set[str] = set()
        self._table_numbers = count(1)
        self._figure_numbers = count(1)

    def build(self) -> Report:
        validate_record(self._folder, self._manifest)
        self._notices += require_extensions(self._folder, self._manifest.extensions)
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
        if late := progress.not_begun:
            self._notices.append(f"{name}: {late} cases were not begun, for no time was left in the budget")
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
            if self._mode == "write":
                write_table(shown, frame, self._folder / "tables")
            built.append(BuiltTable(next(self._table_numbers), shown, frame))
        return tuple(built)

    def _draw_figures(
        self, experiment: Experiment, tables: Sequence[BuiltTable], left_out: list[str], lack: str
    ) -> tuple[DrawnFigure, ...]:
        drawn = []
        for figure in experiment.figures if self._mode != "read" else ():
            self._claim_name(f"figure {figure.name}")
            is_kept = self._mode == "load" and (not lack or self._find_figure(figure, "svg").exists())
            folder = self._folder / "figures" if self._mode == "write" else None
            make = partial(self._load_figure, figure) if is_kept else partial(_draw_figure, figure, tables, folder)
            files = _attempt(make, f"figure {figure.name}", left_out, lack)
            if files is not None:
                drawn.append(DrawnFigure(next(self._figure_numbers), figure, *files))
        return tuple(drawn)

    def _load_figure(self, figure: Figure) -> tuple[bytes, bytes, float]:
        """As `_draw_figure` has returned it; `BenchError` for files that are not those that the report has written."""
        svg, png = (read_derived(self._find_figure(figure, suffix), self._manifest) for suffix in ("svg", "png"))
        return svg, png, struct.unpack(">I", png[16:20])[0] / PNG_DPI

    def _find_figure(self, figure: Figure, suffix: str) -> Path:
        return self._folder / "figures" / f"{figure.name}.{suffix}"

    def _claim_name(self, name: str) -> None:
        """Files are named after tables and figures, so two of one name would overwrite each other."""
        if name in self._names:
            raise ValueError(f"{name}: expected a name that no other one of the run has")
        self._names.add(name)


def _build_table(table: Table, good: "pd.DataFrame") -> "pd.DataFrame":
    frame = round_numbers(table.build(good.copy()))
    check_columns(table, frame)
    return frame


def round_numbers(frame: "pd.DataFrame") -> "pd.DataFrame":
    """A copy with all numbers of floating point in `DIGITS` significant digits; whole ones stay as they are."""
    import pandas as pd

    def settle(value: Any) -> Any:
        if isinstance(value, list):
            return [settle(item) for item in value]
        return float(f"{value:.{DIGITS}g}") if isinstance(value, float) and not value.is_integer() else value

    columns = {name: pd.Series([*map(settle, cells)], cells.index, cells.dtype) for name, cells in frame.items()}
    return pd.DataFrame(columns, index=frame.index, columns=frame.columns)


def _answer(experiment: Experiment, tables: Sequence[BuiltTable]) -> tuple[str, ...]:
    return () if experiment.answer is None else tuple(experiment.answer(_copy(tables)))


def _copy(tables: Sequence[BuiltTable]) -> "dict[str, pd.DataFrame]":
    return {built.table.name: built.frame.copy() for built in tables}


def _draw_figure(figure: Figure, tables: Sequence[BuiltTable], folder: Path | None) -> tuple[bytes, bytes, float]:
    """Draw a figure, and save it if there is a ``folder``; its SVG, its PNG and its width in inches."""
    with journal_style():
        made = figure.draw(_copy(tables))
    files = render_figure(made)
    if folder is not None:
        save_files(files, folder, figure.name)
    return files["svg"], files["png"], float(made.get_figwidth())


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
