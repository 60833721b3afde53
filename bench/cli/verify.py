"""`ehrbench verify`: whether a run confirms a reference."""

import sys
from pathlib import Path

import click

from bench.cli.options import PLACE, RESULTS, RUN, TOLERANCE, Tolerance


@click.command(short_help="Say whether a run confirms a reference.")
@RUN
@click.option("--against", type=PLACE, default=Path("results/reference"), show_default=True, help="The reference.")
@click.option(
    "--tolerance",
    type=Tolerance(),
    default=TOLERANCE,
    show_default=True,
    help="How much a ratio may change, as a share.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "csv", "json"]),
    default="text",
    show_default=True,
    help="How to print.",
)
@click.option("--verbose", is_flag=True, help="List in the text every ratio and claim, not only what differs.")
@RESULTS
def verify(folder: Path | None, against: Path, tolerance: float, form: str, *, verbose: bool, results: Path) -> None:
    """Say whether a run (the newest if none is named) confirms a reference: ratios and orders, never absolute times.

    Results of which the two asked something else are not comparable, and it says why.  The runs' verdicts on the claims
    stand below and decide nothing.  The exit code is 0 if something is confirmed and nothing is contradicted, 1 if not,
    2 for bad input.
    """
    from bench.record import newest_run
    from bench.report.comparison import read_runs
    from bench.report.verification import print_verification

    runs = read_runs(against, folder or newest_run(results), ("reference", "run"))
    if not print_verification(runs, tolerance, form, is_whole=verbose):
        sys.exit(1)
