"""Engine `micro`: runs the project's pytest-benchmark suite in a process of its own and reads its JSON.

A process of its own keeps the run's own imports, garbage and signal handlers out of the timings, and lets a case
choose environment variables that count only at start-up, such as OpenSSL's processor mask.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import bench
from bench.engines.base import Context
from bench.errors import BenchError
from bench.experiments.base import Case, Row
from bench.scenario import Scenario

MICRO: Final = Path(bench.__file__).parent / "micro"
FILES: Final = ("test_hashes.py", "test_signatures.py")
#: More than the longest profile takes; a run that needs longer has stopped.
TIMEOUT_S: Final = 3_600
_NANO: Final = 1e9


def run_micro(context: Context, case: Case) -> list[Row]:
    """One row per benchmark of the file that the case names, times in nanoseconds per call.

    Settings: ``file``, and optionally ``environment`` (variables for the process) and ``variant`` (their short name,
    which every row repeats).  `BenchError` if pytest fails, with the last thing that it said.
    """
    file = case.settings.get("file")
    if file not in FILES:
        raise BenchError(f"case {case.label}: file: expected one of {', '.join(FILES)}, found {file!r}")
    chosen, seconds = _choose(context.scenario, file)
    report = _run_pytest(MICRO / file, seconds, {**chosen, **case.settings.get("environment", {})})
    variant = case.settings.get("variant", "")
    return [{"variant": variant, **_row(entry)} for entry in report["benchmarks"]]


def _choose(scenario: Scenario, file: str) -> tuple[dict[str, str], float]:
    """The environment that selects the scenario's cases, and the seconds that each may take."""
    if file == "test_signatures.py":
        return {}, scenario.signatures.seconds_per_case
    wanted = scenario.hashes
    sizes = ",".join(map(str, wanted.sizes_bytes))
    return {"EHRBENCH_SUITES": ",".join(wanted.suites), "EHRBENCH_SIZES": sizes}, wanted.seconds_per_case


def _run_pytest(file: Path, seconds: float, environment: Mapping[str, str]) -> dict[str, Any]:
    """The JSON report of one pytest run; `BenchError` if the run fails or reports nothing."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "benchmark.json")
        command = [sys.executable, "-m", "pytest", *_flags(file), f"--benchmark-max-time={seconds}"]
        try:
            done = subprocess.run(
                [*command, f"--benchmark-json={output}", str(file)],
                env=_environment(environment),
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise BenchError(f"{file.name}: expected an end within {TIMEOUT_S} s, found none") from None
        if done.returncode != 0:
            raise BenchError(f"{file.name}: pytest: {last_line(done.stdout, done.stderr)}")
        if not output.exists():
            raise BenchError(f"{file.name}: expected at least one benchmark, found none for these choices")
        return _read(output, file.name)


def _read(output: Path, name: str) -> dict[str, Any]:
    try:
        report: dict[str, Any] = json.loads(output.read_bytes())
    except (OSError, ValueError) as error:
        raise BenchError(f"{name}: expected pytest-benchmark's report, found: {error}") from None
    return report


def _flags(file: Path) -> list[str]:
    """Flags that make the run independent of any configuration, plug-in or cache around it."""
    return [
        *("-q", "--tb=short", "--import-mode=importlib", "--confcutdir", str(file.parent)),
        *("-c", os.devnull, "--rootdir", str(file.parent), "-p", "no:cacheprovider"),
    ]


def _environment(chosen: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with the choices, and with the packages importable as they are here."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "EHRBENCH_"))}
    root = str(MICRO.parent.parent)
    paths = [root, *filter(None, [kept.get("PYTHONPATH")])]
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), **chosen}


def last_line(stdout: str, stderr: str) -> str:
    """What pytest said last that explains a failure: an error line if there is one, else its last line."""
    lines = [line.strip() for line in (stdout + "\n" + stderr).splitlines() if line.strip(" =!-")]
    errors = [line.removeprefix("E ").strip() for line in lines if line.startswith("E ")]
    usage = [line for line in lines if "error:" in line]
    return (errors or usage or lines or ["it said nothing"])[-1]


def _row(entry: Mapping[str, Any]) -> Row:
    """A raw row from one benchmark of the report."""
    stats = entry["stats"]
    row: Row = {
        **entry["extra_info"],
        "benchmark": entry["name"],
        "rounds": stats["rounds"],
        "iterations": stats["iterations"],
        **{f"{name}_ns": stats[name] * _NANO for name in ("median", "iqr", "q1", "q3", "min", "mean", "stddev")},
        "ops_per_s": stats["ops"],
    }
    if row["operation"] == "hash":
        row["gigabyte_per_s"] = row["size_bytes"] / row["median_ns"]
    return row
