"""`ehrbench export`: tables of a run for other programs, and how to cite it."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bench.cli.options import PLACE
from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.loading import Run

_FORMS = ("csv", "parquet", "latex", "bibtex")


@click.command(short_help="Write tables of a run for other programs, or how to cite it.")
@click.argument("folder", type=PLACE, metavar="RUN")
@click.argument("tables", nargs=-1, metavar="[TABLE]...")
@click.option("--format", "form", type=click.Choice(_FORMS), default="csv", show_default=True, help="What to write.")
@click.option(
    "-o",
    "--output",
    "target",
    type=PLACE,
    metavar="DIR|FILE",
    help="A folder, or a file that ends in .csv, .parquet, .tex or .bib.  [default for bibtex: print it]",
)
@click.option("--long", "is_long", is_flag=True, help="One table of all cells: table, row, column, unit, value.")
@click.option("--no-check", is_flag=True, help="Take files that were edited, too.")
def export(
    folder: Path, tables: tuple[str, ...], form: str, target: Path | None, *, is_long: bool, no_check: bool
) -> None:
    """Write tables of a run (all if none is named) with a data dictionary: column, unit, type, meaning.

    CSV and LaTeX are the run's own files; Parquet has units and captions in its metadata.  BibTeX has entries for the
    run, by the digest of its record, for the software and for the paper.  The same run gives the same bytes.
    """
    from bench.loading import load

    run = load(folder, check=not no_check)
    if form == "bibtex":
        _export_bibtex(run, tables, target, is_long=is_long)
        return
    if target is None:
        raise BenchError(f"-o: expected a folder or a file to write {form} to, found none")
    from bench.report.export import export_tables
    from bench.report.terminal import write_plain

    for path in export_tables(run, form, tables, target, is_long=is_long):
        write_plain(f"{path}\n")


def _export_bibtex(run: "Run", tables: tuple[str, ...], target: Path | None, *, is_long: bool) -> None:
    from bench.files import write_atomic
    from bench.report.bibtex import write_bibtex
    from bench.report.terminal import write_plain

    if tables or is_long:
        raise BenchError(f"--format bibtex: expected no table, found {tables[0] if tables else '--long'}")
    text = write_bibtex(run)
    if target is None:
        write_plain(text)
        return
    path = target if target.suffix == ".bib" else target / "references.bib"
    write_atomic(path, text)
    write_plain(f"{path}\n")
