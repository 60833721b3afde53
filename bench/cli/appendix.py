"""`ehrbench appendix`: the artifact appendix, from the claims, their rules and a reference run."""

from pathlib import Path

import click

from bench.cli.options import PLACE


@click.command(short_help="Print the artifact appendix.")
@click.option(
    "--reference",
    type=PLACE,
    default=Path("results/reference"),
    show_default=True,
    help="The run that says what to expect.",
)
@click.option("-o", "--output", type=PLACE, help="A file to write it to.  [default: the screen]")
def appendix(reference: Path, output: Path | None) -> None:
    """Print ARTIFACT-APPENDIX.md: claims, experiments, minutes of a person and a machine, what to expect."""
    from bench.files import write_output
    from bench.report.appendix import render_appendix
    from bench.report.terminal import write_plain

    text = render_appendix(reference)
    if output is None:
        write_plain(text)
    else:
        write_output(output, text)
