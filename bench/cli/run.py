"""`ehrbench run`: experiments, and all that is derived from what they measure."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click
import msgspec

from bench.cli.options import PLACE, RESULTS
from bench.errors import BenchError


@click.command(short_help="Run experiments; write tables, figures and a report.")
@click.argument("experiments", nargs=-1, metavar="[EXPERIMENT]...")
@click.option("--profile", default="quick", show_default=True, help="smoke, quick or paper (see: ehrbench list).")
@click.option("--config", type=PLACE, metavar="FILE", help="A TOML scenario laid over the profile.")
@click.option("--records", type=PLACE, metavar="DIR", help="FHIR JSON or NDJSON in place of synthetic patients.")
@click.option(
    "--engine",
    type=click.Choice(["sim", "net"]),
    help="Measure table1, variants, policy and faults over real networks, too (net), or not at all so (sim).  "
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
