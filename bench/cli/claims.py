"""`ehrbench claims`: the verdicts of a run on the paper's claims."""

import sys
from pathlib import Path

import click

from bench.cli.options import RESULTS, RUN
from bench.errors import BenchError


@click.command(short_help="Say what a run says of the paper's claims.")
@RUN
@click.option("--only", multiple=True, metavar="ID", help="A claim, such as C33; may be given again.  [default: all]")
@click.option("--json", "is_json", is_flag=True, help="Print what the run's claims.json holds.")
@click.option("--markdown", "is_markdown", is_flag=True, help="Print the section of the report.")
@click.option("--rules", "is_rules", is_flag=True, help="Print the rules as Markdown, and judge no run.")
@click.option("--verbose", is_flag=True, help="Print the evidence, the rule and the command of each, too.")
@RESULTS
def claims(
    folder: Path | None,
    only: tuple[str, ...],
    *,
    is_json: bool,
    is_markdown: bool,
    is_rules: bool,
    verbose: bool,
    results: Path,
) -> None:
    """Say what a run (the newest if none is named) says of the paper's claims, by the rules of paper/claims.toml.

    Verdicts are computed from the run's rows, and rules that have changed since it began are named.  The exit code is 0
    whatever they are; 1 if the run keeps other verdicts, which were edited or made by other rules; 2 for bad input.
    """
    from bench.record import newest_run
    from bench.report.verdicts import print_rules, print_verdicts

    forms = [name for name, is_on in (("json", is_json), ("markdown", is_markdown), ("rules", is_rules)) if is_on]
    if len(forms) > 1 or (is_rules and (folder or only)):
        besides = f"--{forms[0]}" if len(forms) > 1 else folder or only[0]
        raise BenchError(f"--{forms[-1]}: expected nothing besides, found {besides}")
    if is_rules:
        print_rules()
        return
    form = forms[0] if forms else "text"
    if not print_verdicts(folder or newest_run(results), only, form, is_whole=verbose):
        sys.exit(1)
