"""The command line of `ehrbench`, whose commands are in `bench.cli`.

Bad input ends in one clear line and exit code 2; an interrupted run in 130; a bug in a traceback.  Code 1 says that a
command did its work and that the answer is no.  Commands import what they need when they run, so that help and lists
appear at once.
"""

import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from bench.cli.appendix import appendix
from bench.cli.claims import claims
from bench.cli.compare import compare
from bench.cli.doctor import doctor
from bench.cli.errata import errata
from bench.cli.export import export
from bench.cli.options import PLACE
from bench.cli.paper import paper
from bench.cli.report import report
from bench.cli.run import run
from bench.cli.verify import verify
from bench.errors import BenchError
from ehrcore import __version__
from ehrcore.errors import EhrError


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


for _command in (run, report, claims, verify, doctor, errata, paper, compare, export, appendix):
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
