"""`ehrbench errata`: the paper's errata, each by running it."""

import sys

import click

from bench.errors import BenchError


@click.command(short_help="Show every erratum of the paper by running it.")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--json", "form", flag_value="json", help="Print what was computed as JSON.")
@click.option(
    "--markdown", "form", flag_value="markdown", help="Print the table as paper/errata.md has it; runs nothing."
)
def errata(ids: tuple[str, ...], form: str | None) -> None:
    """Show the paper's errata, all or those that are named: as printed gives this, the standard gives that.

    Everything is computed on the spot.  The exit code is 0, or 1 if a demonstration shows no difference; one that needs
    Node.js where there is none is told as not run.
    """
    import json
    import shutil

    from bench.errata.base import demonstrate
    from bench.errata.render import as_json, render_markdown, render_text
    from bench.errata.table import ERRATA

    known = {erratum.id: erratum for erratum in ERRATA}
    unknown = [name for name in ids if name.upper() not in known]
    if unknown:
        raise BenchError(f"errata: expected ids from {ERRATA[0].id} to {ERRATA[-1].id}, found {unknown[0]!r}")
    chosen = [known[name.upper()] for name in dict.fromkeys(ids)] or list(ERRATA)
    if form == "markdown":
        click.echo(render_markdown(chosen), nl=False)
        return
    outcomes = [demonstrate(erratum) for erratum in chosen]
    if form == "json":
        click.echo(json.dumps(as_json(outcomes), indent=2, ensure_ascii=False))
    else:
        width = min(max(shutil.get_terminal_size((100, 24)).columns, 60), 120)
        click.echo(render_text(outcomes, width=width, is_whole=bool(ids)), nl=False)
    if any(outcome.status == "not shown" for outcome in outcomes):
        sys.exit(1)
