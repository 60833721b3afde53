# /// script
# requires-python = ">=3.11"
# dependencies = ["nox>=2025.2.9"]
#
# [tool.nox]
# script-download-python = "never"
# ///
"""Every task of the project, each in an environment of its own.

`nox -l` lists the sessions; words after `--` go to the command that a session runs.  All of them run under the
Python that runs nox.  An environment holds exactly what `locks/build.txt` and its group's lock, `locks/<group>.txt`,
name: hashes are required, nothing is resolved, and nothing is built in isolation, so nothing unpinned joins in.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from pathlib import Path

import nox

if sys.version_info < (3, 11):  # noqa: UP036 - nox may run under an older Python than the project's
    found = ".".join(map(str, sys.version_info[:2]))
    sys.exit(f"ehrbench needs Python 3.11 or newer, and nox runs under {found}: install nox in a newer one")

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "tests"]

ROOT = Path(__file__).parent
#: Runs below `results/` that are part of the project.
KEPT = ("reference",)
#: One process more than there are cores, for many tests wait for real nodes; each keeps to its share of the tests, and
#: so to what modules share, until it is done.  pytest-benchmark warns that it cannot measure beside xdist, and here a
#: warning is an error.
SPREAD = ("-n", str(min((os.cpu_count() or 1) + 1, 6)), "--dist", "worksteal", "--benchmark-disable")


def install(session: nox.Session, *groups: str) -> None:
    """Install what the groups' locks name, one after the other, and nothing else."""
    for group in groups:
        options = ("--require-hashes", "--no-deps", "--no-build-isolation")
        session.install(*options, "--requirement", f"locks/{group}.txt")


def install_with_project(session: nox.Session, group: str) -> None:
    """Install what builds, the lock of ``group``, then this directory as an editable install."""
    install(session, "build", group)
    session.install("--no-deps", "--no-build-isolation", "--editable", ".")


def log_newest_run(session: nox.Session) -> Path | None:
    """Say where the run that was written last is, and return it."""
    manifests = [path for path in ROOT.glob("results/*/manifest.json") if path.parent.name not in KEPT]
    if not manifests:
        return None
    newest = max(manifests, key=lambda path: path.stat().st_mtime).parent
    session.log(f"The newest run is in {newest.relative_to(ROOT)}")
    return newest


@nox.session
def lint(session: nox.Session) -> None:
    """Check rules and format with ruff; `-- --fix` mends what it can."""
    install(session, "lint")
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", *([] if "--fix" in session.posargs else ["--check"]))


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of both packages with mypy, strictly."""
    install(session, "build", "types")
    session.run("mypy", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests that take a moment each, spread over processes."""
    install_with_project(session, "tests")
    session.run("pytest", *SPREAD, *session.posargs)


@nox.session
def slow(session: nox.Session) -> None:
    """Run the slow tests, spread over processes; none of them depends on how long it takes."""
    install_with_project(session, "tests")
    session.run("pytest", *SPREAD, "-m", "slow", *session.posargs)


@nox.session
def long(session: nox.Session) -> None:
    """Run the longest tests: every byte, every part, a whole run; not before each change, but before a release."""
    install_with_project(session, "tests")
    # What only the speed limits need is tested here too: numba.
    install(session, "speed")
    session.run("pytest", *SPREAD, "-m", "long", *session.posargs)


@nox.session
def coverage(session: nox.Session) -> None:
    """Measure the branch coverage of the tests, of the processes they start too."""
    install_with_project(session, "tests")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", "--benchmark-disable", *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session
def bench(session: nox.Session) -> None:
    """Run experiments: `ehrbench run` with the words after `--`, or else with its quick profile."""
    install_with_project(session, "bench")
    session.run("ehrbench", "run", *(session.posargs or ["--profile", "quick"]))
    log_newest_run(session)


@nox.session
def kick(session: nox.Session) -> None:
    """Kick the tyres: all experiments, small, and the reference's verdicts again; under ten minutes with set-up."""
    begin = time.monotonic()
    install_with_project(session, "bench")
    # 1: a check did not hold, and which is said; those of time may not, where others are at work on the machine.
    session.run("ehrbench", "run", "--profile", "smoke", success_codes=[0, 1])
    run = log_newest_run(session)
    ended = json.loads((run / "manifest.json").read_text(encoding="utf-8"))["experiments"] if run else {}
    lost = [name for name, item in ended.items() if item["status"] != "complete" or item["failed"] == item["cases"]]
    if lost or not ended:
        session.error(f"It does not work: nothing came of {', '.join(lost) or 'the run'}; its report says why")
    session.run("ehrbench", "claims", "results/reference", silent=True)
    session.run("ehrbench", "errata", silent=True)
    session.log(f"It works, {time.monotonic() - begin:.0f} s with set-up: {len(ended)} experiments ended, the verdicts")
    session.log("of results/reference follow from its rows, every erratum shows.  Numbers of this run mean nothing.")
    session.log("Next: nox -s bench (under ten minutes), then nox -s verify; ARTIFACT-APPENDIX.md has the rest.")


@nox.session
def ehrbench(session: nox.Session) -> None:
    """Run any command of the suite: `ehrbench` with the words after `--`."""
    install_with_project(session, "bench")
    session.run("ehrbench", *session.posargs)


@nox.session
def report(session: nox.Session) -> None:
    """Write the report of a run again, or `--check` it: `ehrbench report` with the words after `--`."""
    install_with_project(session, "bench")
    session.run("ehrbench", "report", *session.posargs)


@nox.session
def paper(session: nox.Session) -> None:
    """Set the report of a run as an article, in PDF: `ehrbench paper` with the words after `--`."""
    install_with_project(session, "bench")
    session.run("ehrbench", "paper", *session.posargs)


@nox.session
def micro(session: nox.Session) -> None:
    """Run the cases of `hashes`, `signatures` and `merkle` under pytest-benchmark, with its flags after `--`."""
    install_with_project(session, "bench")
    session.run("pytest", "bench/micro", "-q", *session.posargs)


@nox.session
def verify(session: nox.Session) -> None:
    """Say whether a run confirms the reference run: `ehrbench verify` with the words after `--`."""
    install_with_project(session, "bench")
    session.run("ehrbench", "verify", *session.posargs)


@nox.session
def speed(session: nox.Session) -> None:
    """Compare the project's speed with its limits and its peers: `ehrbench run limits`."""
    install_with_project(session, "speed")
    session.run("ehrbench", "run", "limits", *session.posargs)
    log_newest_run(session)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation's site in docs/_build/html and check it; words after `--` go to `sphinx-build`."""
    install_with_project(session, "docs")
    # Nothing is kept of an earlier build, so that the same files give the same bytes.
    shutil.rmtree(ROOT / "docs/_build", ignore_errors=True)
    options = ("--quiet", "--fail-on-warning", "--keep-going", "--nitpicky", "--doctree-dir", "docs/_build/doctrees")
    session.run("sphinx-build", *options, *session.posargs, "docs", "docs/_build/html")
    session.log("The site is in docs/_build/html/index.html")


@nox.session
def audit(session: nox.Session) -> None:
    """Look for known vulnerabilities of all that the locks name; what cannot be asked about is said, and no error."""
    install(session, "audit")
    session.run("python", ".ci/audit.py")


@nox.session
def licences(session: nox.Session) -> None:
    """Write THIRD-PARTY.md: what the locks name and the data, with the licence of each."""
    groups = nox.project.load_toml("pyproject.toml")["dependency-groups"]
    for group in ("build", *(name for name in groups if name != "build")):
        install(session, group)
    session.run("python", ".ci/licences.py")


@nox.session(venv_backend="none")
def archive(session: nox.Session) -> None:
    """Pack HEAD as one archive that can be deposited, below dist/; `-- --commit REF` packs another commit."""
    session.run(sys.executable, ".ci/archive.py", *session.posargs)


@nox.session
def lock(session: nox.Session) -> None:
    """Write the lock of every dependency group; `-- --upgrade` takes the newest versions."""
    install(session, "lock")
    for group in nox.project.load_toml("pyproject.toml")["dependency-groups"]:
        # What is tested and compared is of the versions that are measured.
        constraint = [] if group == "bench" else ["--constraint", "locks/bench.txt"]
        session.run(
            *("uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes"),
            *("--no-header", "--no-annotate", "--no-emit-package", "ehrbench", *constraint),
            *("--group", group, "--output-file", f"locks/{group}.txt", *session.posargs),
        )
    pins = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", Path("locks/tests.txt").read_text(encoding="utf-8"), re.MULTILINE))
    if pins["cryptography"] != pins["cryptography-vectors"]:
        session.error(
            f"cryptography is {pins['cryptography']} and its vectors are {pins['cryptography-vectors']}: "
            "set both groups to one version"
        )


if __name__ == "__main__":
    nox.main()
