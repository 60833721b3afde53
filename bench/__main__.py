"""The command line of `ehrbench`; commands that have a module each are in `bench.cli`.

Bad input ends in one clear line and exit code 2; an interrupted run in 130; a bug in a traceback.  Code 1 says that a
command did its work and that the answer is no.  Commands import what they need when they run, so that help and lists
appear at once.
"""

import errno
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click
import msgspec

from bench.cli.appendix import appendix
from bench.cli.compare import compare
from bench.cli.export import export
from bench.cli.options import PLACE, RESULTS, TOLERANCE
from bench.cli.paper import paper
from bench.errors import BenchError
from ehrcore import __version__
from ehrcore.errors import EhrError

_FORMAT = click.option(
    "--format",
    "form",
    type=click.Choice(["text", "csv", "json"]),
    default="text",
    show_default=True,
    help="How to print.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ehrbench", message="%(prog)s %(version)s")
@click.option(
    "--extend",
    "extensions",
    type=PLACE,
    multiple=True,
    envvar="EHR_EXTEND",
    metavar="FILE",
    help="A Python file that adds a hash, a library, a rule, records or an experiment; may be given again.",
)
def app(extensions: tuple[Path, ...]) -> None:
    """Reproduce and question the numbers of a blockchain for health records."""
    if extensions:
        from ehrcore.drive.extensions import load_extensions

        load_extensions(extensions)


@app.command("list")
def list_experiments() -> None:
    """List the experiments and the profiles."""
    from bench.experiments.catalogue import PROFILES, QUESTIONS

    for title, entries in (("Experiments", QUESTIONS), ("Profiles", PROFILES)):
        click.echo(title)
        for name, text in entries.items():
            click.echo(f"  {name:<12} {text}")


@app.command(short_help="Run experiments; write tables, figures and a report.")
@click.argument("experiments", nargs=-1, metavar="[EXPERIMENT]...")
@click.option("--profile", default="quick", show_default=True, help="smoke, quick or paper (see: ehrbench list).")
@click.option("--config", type=PLACE, metavar="FILE", help="A TOML scenario laid over the profile.")
@click.option("--records", type=PLACE, metavar="DIR", help="FHIR JSON or NDJSON in place of synthetic patients.")
@click.option(
    "--engine",
    type=click.Choice(["sim", "net"]),
    help="Measure table1, variants and policy over real networks, too (net), or not at all so (sim).  "
    "[default: as configured]",
)
@click.option("--strict", is_flag=True, help="Refuse malformed record files rather than skip them.")
@click.option("--resume", type=PLACE, metavar="RUN", help="Go on with a run that was stopped, as it was begun.")
@RESULTS
@click.pass_context
def run(
    context: click.Context,
    experiments: tuple[str, ...],
    profile: str,
    config: Path | None,
    records: Path | None,
    engine: str | None,
    *,
    strict: bool,
    resume: Path | None,
    results: Path,
) -> None:
    """Run experiments (the profile's if none is named) and write tables, figures and a report.

    A run that was stopped, however it was, goes on with --resume: what is done is not done again.  The exit code is 0;
    1 if a check does not hold or if nothing of an experiment counts (single cases may fail: that is a result); 2 for
    bad input; 130 if the run was interrupted.
    """
    from bench.report import build_report, print_summary
    from bench.run import execute, resume_run
    from bench.scenario import load_scenario
    from bench.watching import watch_progress

    if resume is None:
        scenario = load_scenario(profile, config)
        if engine is not None:
            scenario = msgspec.structs.replace(scenario, engine=engine)
        begin = partial(execute, scenario, experiments, is_strict=strict, results=results)
    else:
        _refuse_besides(context, "resume", "records")
        begin = partial(resume_run, resume)
    with watch_progress() as progress, _terminate_as_interrupt():
        outcome = begin(records=records, progress=progress)
        progress.say("Tables, figures and report ...")
        try:
            build_report(outcome.run.folder, progress.say)
            outcome.run.seal_derived()
        except KeyboardInterrupt:
            sys.stderr.write(f"ehrbench: what was measured is kept; go on with: ehrbench report {outcome.run.folder}\n")
            raise
    print_summary(outcome.run.folder)
    if outcome.is_interrupted:
        sys.stderr.write(f"ehrbench: interrupted; go on with: ehrbench run --resume {outcome.run.folder}\n")
        sys.exit(130)
    if outcome.problems:
        sys.stderr.write(f"ehrbench: {'; '.join(outcome.problems)}\n")
        sys.exit(1)


def _refuse_besides(context: click.Context, *names: str) -> None:
    """Raise `BenchError` if anything but the named parameters was given."""
    given = [
        param
        for param in context.command.params
        if param.name not in names
        and context.get_parameter_source(str(param.name)) is click.core.ParameterSource.COMMANDLINE
    ]
    for param in given:
        what = param.make_metavar(context) if isinstance(param, click.Argument) else param.opts[0]
        raise BenchError(f"--{names[0]}: expected nothing besides, for the run says it, found {what}")


@contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """Meanwhile SIGTERM and a closed terminal do what Ctrl-C does; what is ignored (nohup) stays so."""
    names = [name for name in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(name) != signal.SIG_IGN]
    before = {name: signal.signal(name, signal.default_int_handler) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


@app.command(short_help="Write tables, figures and report of a run again.")
@click.argument("folder", type=PLACE, required=False, metavar="[RUN]")
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


@app.command(short_help="Say what a run says of the paper's claims.")
@click.argument("folder", type=PLACE, required=False, metavar="[RUN]")
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
    """Say what a run (the newest if none is named) says of the paper's claims, by rules that were fixed before.

    Verdicts are computed from the run's rows.  The exit code is 0 whatever they are; 1 if the run keeps others, which
    were edited or made by other rules; 2 for bad input.
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


@app.command(short_help="Say whether a run confirms a reference.")
@click.argument("folder", type=PLACE, required=False, metavar="[RUN]")
@click.option("--against", type=PLACE, default=Path("results/reference"), show_default=True, help="The reference.")
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 100, min_open=True),
    default=TOLERANCE,
    show_default=True,
    help="How much a ratio may change, as a share.",
)
@_FORMAT
@click.option("--verbose", is_flag=True, help="List in the text every ratio and claim, not only what differs.")
@RESULTS
def verify(folder: Path | None, against: Path, tolerance: float, form: str, *, verbose: bool, results: Path) -> None:
    """Say whether a run (the newest if none is named) confirms a reference: ratios and orders, never absolute times.

    Results of which the two asked something else are not comparable, and it says why.  The runs' verdicts on the claims
    stand below and decide nothing.  The exit code is 0 if something is confirmed and nothing is contradicted, 1 if not,
    2 for bad input.
    """
    from bench.record import newest_run
    from bench.report.comparison import print_verification, read_runs

    if not tolerance > 0:  # NaN is in every range
        raise BenchError(f"--tolerance: expected a number above 0, found {tolerance}")
    runs = read_runs(against, folder or newest_run(results), ("reference", "run"))
    if not print_verification(runs, tolerance, form, is_whole=verbose):
        sys.exit(1)


@app.command(short_help="Say whether this machine is fit to measure on.")
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


@app.command(short_help="Show every erratum of the paper by running it.")
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


for _command in (paper, compare, export, appendix):
    app.add_command(_command)


def main(words: Sequence[str] | None = None) -> None:
    """Entry point: what the user can mend becomes one line on standard error."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - it stays open
    try:
        app(args=words, prog_name="ehrbench", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(2)
    except click.ClickException as error:
        _fail(error.format_message())
    except (BenchError, EhrError) as error:
        _fail(str(error))
    except (KeyboardInterrupt, click.Abort):
        sys.stderr.write("ehrbench: interrupted\n")
        sys.exit(130)
    except BrokenPipeError:
        # The reader has gone; nothing more can be said, and Python must not try at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _fail(f"{error.filename or 'output'}: expected room to write, found: {error.strerror}")


def _fail(message: str) -> None:
    sys.stderr.write(f"ehrbench: {' '.join(message.split())}\n")
    sys.exit(2)


if __name__ == "__main__":
    main()
