"""The command line: `ehrbench list`, `run`, `report`.

Bad input ends in one clear line and exit code 2; an interrupted run in 130; a bug in a traceback.  Commands import what
they need when they run, so that help and lists appear at once.
"""

import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from bench.errors import BenchError
from ehrcore import __version__
from ehrcore.errors import EhrError

_FOLDER = click.Path(path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ehrbench", message="%(prog)s %(version)s")
def app() -> None:
    """Reproduce and question the numbers of a blockchain for health records."""


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
@click.option("--config", type=_FOLDER, metavar="FILE", help="A TOML scenario laid over the profile.")
@click.option("--records", type=_FOLDER, metavar="DIR", help="FHIR JSON or NDJSON in place of synthetic patients.")
@click.option("--strict", is_flag=True, help="Refuse malformed record files rather than skip them.")
@click.option("--results", type=_FOLDER, default=Path("results"), show_default=True, help="Where runs are kept.")
def run(
    experiments: tuple[str, ...],
    profile: str,
    config: Path | None,
    records: Path | None,
    *,
    strict: bool,
    results: Path,
) -> None:
    """Run experiments (the profile's if none is named) and write tables, figures and a report."""
    from bench.report import build_report, print_summary
    from bench.run import execute
    from bench.scenario import load_scenario
    from bench.watching import watch_progress

    scenario = load_scenario(profile, config)
    with watch_progress() as progress:
        finished, is_interrupted = execute(
            scenario, experiments, records=records, is_strict=strict, results=results, progress=progress
        )
        progress.say("Tables, figures and report ...")
        build_report(finished.folder, progress.say)
        finished.seal()
    print_summary(finished.folder)
    if is_interrupted:
        sys.exit(130)


@app.command(short_help="Write tables, figures and report of a run again.")
@click.argument("folder", type=_FOLDER, required=False, metavar="[RUN]")
@click.option("--results", type=_FOLDER, default=Path("results"), show_default=True, help="Where runs are kept.")
def report(folder: Path | None, results: Path) -> None:
    """Write tables, figures and report of a run (the newest if none is named) again, from its raw rows."""
    from bench.record import RunDirectory, newest_run
    from bench.report import build_report, print_summary

    chosen = folder or newest_run(results)
    build_report(chosen, lambda line: click.echo(line, err=True))
    RunDirectory.load(chosen).seal(keep_measured=True)
    print_summary(chosen)


def main(words: Sequence[str] | None = None) -> None:
    """Entry point: what the user can mend becomes one line on standard error."""
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
