"""`ehrbench paper`: the report of a run as an article, in PDF."""

from dataclasses import replace
from pathlib import Path

import click

from bench.cli.options import PLACE, RESULTS, RUN


@click.command(short_help="Set the report of a run as an article, in PDF.")
@RUN
@click.option(
    "-o",
    "--output",
    type=PLACE,
    metavar="FILE",
    help="Where to write it, and nothing else.  [default: report.pdf of the run]",
)
@RESULTS
def paper(folder: Path | None, output: Path | None, results: Path) -> None:
    """Set the report of a run (the newest if none is named) as an article, in PDF, from its rows and figures.

    The run needs its report (see: ehrbench report); a figure that is missing or was changed is refused, and so is a
    text that cites a number which the run does not have.
    """
    from bench.files import write_atomic, write_output
    from bench.record import RunDirectory, newest_run
    from bench.report.build import PDF_FILE, read_report
    from bench.report.claims import judge_report
    from bench.report.pdf import render_pdf
    from bench.report.terminal import write_plain

    chosen = folder or newest_run(results)
    report = read_report(chosen, has_figures=True)
    data = render_pdf(replace(report, verdicts=judge_report(report)))
    if output is not None:
        write_output(output, data)
    else:
        held = RunDirectory.load(chosen)
        write_atomic(chosen / PDF_FILE, data)
        held.seal_derived(PDF_FILE)
    write_plain(f"Paper: {output or chosen / PDF_FILE}\n")
