"""`ehrbench doctor`: whether this machine is fit to measure on."""

import sys
from pathlib import Path

import click


@click.command(short_help="Say whether this machine is fit to measure on.")
@click.option("--json", "is_json", is_flag=True, help="Print the findings as JSON.")
def doctor(*, is_json: bool) -> None:
    """Say whether this machine is fit to measure on, what limits it and how to mend that; takes three seconds.

    The exit code is 0 for a machine that is fit or limited, 1 for one that is unfit.
    """
    import json
    import shutil

    from bench.diagnosis import render_findings
    from bench.measure.doctor import as_json, examine, judge
    from bench.measure.readings import gather_readings

    click.echo("Watching the machine for three seconds ...", err=True)
    items = examine(gather_readings(Path()))
    if is_json:
        click.echo(json.dumps(as_json(items), indent=2))
    else:
        width = shutil.get_terminal_size((80, 24)).columns
        click.echo(render_findings(items, width=width, is_terminal=sys.stdout.isatty()), nl=False)
    if judge(items) == "unfit":
        sys.exit(1)
