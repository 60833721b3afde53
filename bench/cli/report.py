"""`ehrbench report`: what is derived of a run again, or whether it is what the rows give."""

import sys
from pathlib import Path

import click

from bench.cli.options import PLACE, RESULTS, RUN
from bench.errors import BenchError


@click.command(short_help="Write tables, figures and report of a run again.")
@RUN
@click.option(
    "--beside",
    multiple=True,
    type=PLACE,
    metavar="RUN",
    help="Another run, of another profile or machine, to which the page can switch; may be given again.",
)
@click.option("--check", "is_check", is_flag=True, help="Write nothing, and say what is not what the rows give.")
@RESULTS
def report(folder: Path | None, beside: tuple[Path, ...], *, is_check: bool, results: Path) -> None:
    """Write tables, figures and report of a run (the newest if none is named) again, from its raw rows.

    With --beside the page holds the other runs, too, and so depends on their files.  With --check all are made
    elsewhere and compared file by file: the exit code is 1 if anything derived differs, is missing or is too much.
    """
    from bench.record import RunDirectory, newest_run
    from bench.report import build_report, print_summary
    from bench.report.load import read_manifest

    chosen = folder or newest_run(results)
    read_manifest(chosen)
    if is_check and beside:
        raise BenchError(f"--check: expected no --beside, for a run's own page is checked, found {beside[0]}")
    if is_check:
        _check_report(chosen)
        return
    held = RunDirectory.load(chosen)
    build_report(chosen, lambda line: click.echo(line, err=True), beside)
    held.seal_derived()
    print_summary(chosen)


def _check_report(folder: Path) -> None:
    from bench.report.drift import find_drift
    from bench.report.terminal import write_plain

    lines, count = find_drift(folder)
    write_plain("".join(f"{line}\n" for line in lines))
    if lines:
        anew = f"ehrbench report {folder} writes it anew, but for what is too much: that is to be deleted"
        sys.stderr.write(f"ehrbench: {folder} has drifted: {anew}\n")
        sys.exit(1)
    write_plain(f"{folder}: {count} derived files are what the rows give, byte for byte\n")
